"""What a model gets as `lazy_data_resolver` (truss.md section 2.1)."""

from __future__ import annotations

from penstock.truss import TrussConfig

NOT_COLLECTED = (
    "model_cache: Data was not collected. Missing lazy_data_resolver.block_until_download_complete().\n"
    "A model with `model_cache` must call it in `__init__` or `load`, before it opens the first file: take "
    '`kwargs["lazy_data_resolver"]` in `__init__`, and call its `block_until_download_complete()` in `load`.'
)
"""The first line is that of Truss."""


class LazyDataResolver:
    """Keeps to the contract of Truss, where files are fetched while the model starts.

    Here they are complete before the process of the model starts, so nothing ever waits. What a model has to call, it
    has to call all the same: one that does not would fail elsewhere.

    Args:
        is_required: Whether the model must call `block_until_download_complete`.
    """

    def __init__(self, *, is_required: bool = False) -> None:
        self._is_collected = not is_required

    def block_until_download_complete(self, *_args: object, issue_collect: bool = True, **_kwargs: object) -> str:
        """Returns at once; the text has no meaning. Takes whatever versions of Truss take.

        With `issue_collect=False` it does not count as the call that is asked for.
        """
        self._is_collected = self._is_collected or issue_collect
        return ""

    def raise_if_not_collected(self) -> None:
        """Call it after `load`.

        Raises:
            RuntimeError: The model has not called `block_until_download_complete`, but must.
        """
        if not self._is_collected:
            raise RuntimeError(NOT_COLLECTED)


def must_be_collected(config: TrussConfig) -> bool:
    """Tells whether the model must call `block_until_download_complete`.

    So it is with a `model_cache` whose files come while the model starts (`use_volume`). What stands under `weights`
    is there before, at Baseten, too.
    """
    return any(item.use_volume for item in config.model_cache)
