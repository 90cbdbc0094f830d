from __future__ import annotations

from dataclasses import replace

import pytest

from penstock_controller.chains.names import check_free
from penstock_controller.errors import ConflictError
from penstock_testing.controller_chains import version
from penstock_testing.controller_parts import deployment

CHAIN = version(1).members
MODEL = deployment("echo-1")


def test_a_chain_and_a_model_never_have_the_same_name() -> None:
    with pytest.raises(ConflictError, match=r"name: 'voice' is a chain here \(voice-1\); give the model another name"):
        check_free("voice", CHAIN, is_chain=False)
    with pytest.raises(ConflictError, match=r"name: 'echo' is a model here \(echo-1\); give the chain another name"):
        check_free("echo", [MODEL], is_chain=True)


def test_other_versions_and_what_is_being_removed_are_in_nobodys_way() -> None:
    check_free("voice", CHAIN, is_chain=True)
    check_free("echo", [MODEL], is_chain=False)
    check_free("echo", [replace(MODEL, retired=True)], is_chain=True)
    check_free("voice", [replace(member, retired=True) for member in CHAIN], is_chain=False)
