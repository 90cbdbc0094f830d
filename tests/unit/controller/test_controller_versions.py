from __future__ import annotations

from penstock_controller.chains.versions import ChainVersions
from penstock_testing.controller_chains import version
from penstock_testing.controller_parts import deployment


def test_a_version_is_its_entrypoint_and_then_the_others() -> None:
    versions = ChainVersions([*reversed(version(1).members), *version(2).members])

    own = ("voice-1", "voice.Hear-1", "voice.Look-1", "voice.Think-1")
    assert [versions.members(member) for member in own] == [own] * 4
    assert versions.members("voice-2")[0] == "voice-2"


def test_a_model_is_a_version_by_itself_and_calls_nobody() -> None:
    versions = ChainVersions([deployment("echo-1")])

    assert versions.members("echo-1") == ("echo-1",)
    assert (versions.callers("echo-1"), versions.callees("echo-1")) == ((), ())


def test_calls_lead_through_others_and_stay_within_a_version() -> None:
    versions = ChainVersions([*version(1).members, *version(2).members])

    assert sorted(versions.callees("voice-1")) == ["voice.Hear-1", "voice.Look-1", "voice.Think-1"]
    assert versions.callers("voice.Look-1") == ("voice-1", "voice.Think-1")
    assert versions.callers("voice.Hear-2") == ("voice-2",)
    assert versions.callers("voice-1") == ()


def test_what_was_forgotten_calls_nobody_and_is_called_by_nobody() -> None:
    chain = version(1)
    versions = ChainVersions(chain.members)
    assert "voice.Look-1" in versions.callees("voice-1")

    versions.update([member for member in chain.members if member.deployment_id != "voice.Think-1"])
    assert sorted(versions.callees("voice-1")) == ["voice.Hear-1"]
    assert versions.callers("voice.Look-1") == ()

    versions.update([])
    assert versions.members("voice-1") == ("voice-1",)
