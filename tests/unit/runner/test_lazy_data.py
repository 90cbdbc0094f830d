"""What a model gets as `lazy_data_resolver` (truss.md section 2.1)."""

from __future__ import annotations

import pytest

from penstock.truss import parse_config
from penstock_runner.model.lazy_data import LazyDataResolver, must_be_collected

ITEM = "{repo_id: a/b, revision: main, use_volume: %s, volume_folder: b}"


def is_required(config: str) -> bool:
    return must_be_collected(parse_config(config.encode(), name_default="m"))


def test_a_model_that_collects_its_data_is_fine() -> None:
    resolver = LazyDataResolver(is_required=True)

    resolver.block_until_download_complete()

    resolver.raise_if_not_collected()


def test_a_model_that_must_and_does_not_is_refused_in_the_words_of_truss() -> None:
    with pytest.raises(RuntimeError) as caught:
        LazyDataResolver(is_required=True).raise_if_not_collected()

    first = "model_cache: Data was not collected. Missing lazy_data_resolver.block_until_download_complete()."
    assert str(caught.value).splitlines()[0] == first


def test_a_call_that_does_not_collect_does_not_count() -> None:
    resolver = LazyDataResolver(is_required=True)

    resolver.block_until_download_complete(log_stats=False, issue_collect=False)

    with pytest.raises(RuntimeError):
        resolver.raise_if_not_collected()


def test_a_model_that_need_not_collect_may_leave_it() -> None:
    LazyDataResolver().raise_if_not_collected()


def test_files_that_come_while_the_model_starts_must_be_collected() -> None:
    assert is_required(f"model_cache: [{ITEM % 'true'}]\n")
    assert is_required(f"hf_cache: [{ITEM % 'true'}]\n")


def test_files_that_are_there_before_need_not_be() -> None:
    assert not is_required("")
    assert not is_required("model_cache: [{repo_id: a/b, use_volume: false}]\n")
    assert not is_required("weights: [{source: 'hf://a/b@main', mount_location: /models/b}]\n")
