"""`python -m penstock_controller`."""

from __future__ import annotations

import sys

from penstock_controller.cli.main import main

sys.exit(main())
