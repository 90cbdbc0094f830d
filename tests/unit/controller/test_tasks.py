from __future__ import annotations

import asyncio

from structlog.testing import capture_logs

from penstock_controller.tasks import TaskSet


def test_cancel_ends_every_task_and_waits_for_its_cleanup() -> None:
    async def scenario() -> None:
        ended = []

        async def work() -> None:
            try:
                await asyncio.Event().wait()
            finally:
                await asyncio.sleep(0)
                ended.append(True)

        tasks = TaskSet()
        for _ in range(2):
            tasks.start(work(), name="work")
        await asyncio.sleep(0)
        await tasks.cancel()
        assert ended == [True, True]

    asyncio.run(scenario())


def test_failure_of_a_task_is_logged() -> None:
    async def fail() -> None:
        raise ValueError

    async def scenario() -> None:
        tasks = TaskSet()
        task = tasks.start(fail(), name="fail")
        await asyncio.wait([task])
        await asyncio.sleep(0)

    with capture_logs() as logs:
        asyncio.run(scenario())

    assert [(entry["event"], entry["task"]) for entry in logs] == [("task_failed", "fail")]
