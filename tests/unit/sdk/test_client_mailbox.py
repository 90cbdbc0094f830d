"""The bounded queue between the caller and the task that owns the call."""

from __future__ import annotations

import asyncio

import pytest

from penstock.client.mailbox import Mailbox, MailboxFinished


def mailbox(*, bytes_max: int = 10, items_max: int = 3) -> Mailbox[str]:
    return Mailbox(bytes_max=bytes_max, items_max=items_max)


async def settle() -> None:
    """Lets every task that can go on do so."""
    for _ in range(5):
        await asyncio.sleep(0)


def test_items_keep_their_order() -> None:
    async def scenario() -> None:
        box = mailbox()
        for item in "abc":
            await box.put(item, 1)

        assert [await box.get() for _ in range(3)] == ["a", "b", "c"]

    asyncio.run(scenario())


@pytest.mark.parametrize(("bytes_max", "items_max"), [(2, 100), (100, 2)])
def test_a_producer_waits_for_room(bytes_max: int, items_max: int) -> None:
    async def scenario() -> None:
        box = mailbox(bytes_max=bytes_max, items_max=items_max)
        await box.put("a", 1)
        await box.put("b", 1)
        waiting = asyncio.create_task(box.put("c", 1))
        await settle()
        assert not waiting.done()

        assert await box.get() == "a"
        await waiting

        assert [await box.get(), await box.get()] == ["b", "c"]

    asyncio.run(scenario())


def test_an_item_beyond_the_limit_fits_an_empty_mailbox() -> None:
    async def scenario() -> None:
        box = mailbox(bytes_max=10)
        await box.put("huge", 1000)

        assert await box.get() == "huge"

    asyncio.run(scenario())


def test_a_cancelled_get_takes_nothing() -> None:
    async def scenario() -> None:
        box = mailbox()
        getting = asyncio.create_task(box.get())
        await settle()
        await box.put("a", 1)
        getting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await getting

        assert await box.get() == "a"

    asyncio.run(scenario())


def test_a_cancelled_put_has_not_appended() -> None:
    async def scenario() -> None:
        box = mailbox(items_max=1)
        await box.put("a", 1)
        putting = asyncio.create_task(box.put("b", 1))
        await settle()
        putting.cancel()
        await settle()
        assert await box.get() == "a"
        box.finish()

        with pytest.raises(MailboxFinished):
            await box.get()

    asyncio.run(scenario())


def test_finish_leaves_what_is_there_and_ends_both_waits() -> None:
    async def scenario() -> None:
        full, empty = mailbox(items_max=1), mailbox()
        await full.put("a", 1)
        putting, getting = asyncio.create_task(full.put("b", 1)), asyncio.create_task(empty.get())
        await settle()
        full.finish()
        empty.finish()

        for waiting in (putting, getting):
            with pytest.raises(MailboxFinished):
                await waiting
        assert await full.get() == "a"
        with pytest.raises(MailboxFinished):
            await full.put("c", 1)

    asyncio.run(scenario())


def test_the_last_item_needs_no_room() -> None:
    async def scenario() -> None:
        box = mailbox(items_max=1)
        await box.put("a", 1)
        box.put_last("end", 0)
        box.put_last("too late", 0)

        assert [await box.get(), await box.get()] == ["a", "end"]
        with pytest.raises(MailboxFinished):
            await box.get()

    asyncio.run(scenario())


def test_discarding_frees_a_waiting_producer_and_drops_what_it_brings() -> None:
    async def scenario() -> None:
        box = mailbox(items_max=1)
        await box.put("a", 1)
        putting = asyncio.create_task(box.put("b", 1))
        await settle()
        box.discard_further()
        await putting
        await box.put("c", 1)
        box.finish()

        assert await box.get() == "a"
        with pytest.raises(MailboxFinished):
            await box.get()

    asyncio.run(scenario())


def test_two_consumers_at_once_are_an_error() -> None:
    async def scenario() -> None:
        box = mailbox()
        first = asyncio.create_task(box.get())
        await settle()
        with pytest.raises(RuntimeError, match="one consumer"):
            await box.get()
        first.cancel()
        await settle()

    asyncio.run(scenario())
