"""JSON of requests and results; the rules are shared with chains."""

from __future__ import annotations

from penstock.payloads.json_encoding import decode_json as decode_json
from penstock.payloads.json_encoding import dump_model as dump_model
from penstock.payloads.json_encoding import dump_model_json as dump_model_json
from penstock.payloads.json_encoding import encode_json as encode_json
from penstock.payloads.json_encoding import is_model as is_model
from penstock.payloads.json_encoding import is_model_class as is_model_class
