from __future__ import annotations

import resource

from penstock_bench.machine import machine_facts, raise_descriptor_limit


def test_the_facts_name_the_machine_and_what_was_measured() -> None:
    facts = machine_facts(("grpcio", "no-such-package"))

    assert "cores" in facts["machine"] and facts["date"].endswith("UTC")
    assert "grpcio 1." in facts["versions"] and facts["versions"].endswith("no-such-package –")
    assert facts["revision"]


def test_the_limit_on_descriptors_is_never_lowered() -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)

    try:
        raise_descriptor_limit()
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] >= before[0]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
