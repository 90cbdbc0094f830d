from __future__ import annotations

import asyncio

from penstock.api.control.v1 import control_pb2
from penstock_edge.plane import new_edge_id
from penstock_edge.waiting import WaitingLines
from penstock_testing.client_streams import FakeClientStream
from penstock_testing.edge_kit import EdgeKit
from penstock_testing.virtual_time import run_virtual


def snapshot(epoch: int, version: int, *ids: str, partial: bool = False) -> control_pb2.Snapshot:
    return control_pb2.Snapshot(
        epoch=epoch,
        version=version,
        partial=partial,
        deployments=[control_pb2.DeploymentRoute(deployment_id=id, name=id, environments=["production"]) for id in ids],
        replicas=[
            control_pb2.ReplicaRoute(
                replica_id=f"{id}-r",
                deployment_id=id,
                address=f"{id}:1",
                state=control_pb2.REPLICA_STATE_READY,
                stream_capacity=1,
            )
            for id in ids
        ],
    )


def test_the_newest_snapshot_is_routed_by() -> None:
    async def main() -> None:
        kit = EdgeKit()
        plane = kit.plane
        plane.apply(snapshot(2, 5, "a"))
        assert plane.table.by_id("a") is not None
        assert set(kit.runners) == {"a-r"}, "its trunk is dialled before it is needed"

        for old in (snapshot(1, 9, "old"), snapshot(2, 4, "old")):
            plane.apply(old)
            assert plane.table.by_id("old") is None

        plane.apply(snapshot(3, 1, "b"))
        assert plane.table.by_id("a") is None and plane.table.by_id("b") is not None
        assert set(kit.runners) == {"b-r"}, "the trunk to a replica that is gone has ended"

    run_virtual(main())


def test_partial_snapshot_removes_nothing() -> None:
    async def main() -> None:
        kit = EdgeKit()
        kit.plane.apply(snapshot(1, 1, "a"))
        kit.plane.apply(snapshot(2, 1, "b", partial=True))

        assert kit.plane.table.by_id("a") is not None and kit.plane.table.by_id("b") is not None
        assert {candidate.replica_id for candidate in kit.plane.placement.candidates()} == {"a-r", "b-r"}
        assert set(kit.runners) == {"a-r", "b-r"}

    run_virtual(main())


def test_connections_with_output_are_flushed_once_each() -> None:
    class Connection:
        def __init__(self) -> None:
            self.flushed = 0

        def flush(self) -> None:
            self.flushed += 1

    async def main() -> None:
        plane = EdgeKit().plane
        connection = Connection()
        plane.dirty.append(connection)

        plane.flush()
        plane.flush()

        assert connection.flushed == 1

    run_virtual(main())


def test_an_edge_without_streams_is_idle() -> None:
    async def main() -> None:
        plane = EdgeKit().plane
        loop = asyncio.get_running_loop()
        assert await plane.wait_idle(1)
        one, other = FakeClientStream("s-1"), FakeClientStream("s-2")
        plane.stream_began(one)
        plane.stream_began(other)
        plane.stream_over(one)
        assert plane.active_streams == 1
        assert not await plane.wait_idle(2)
        assert loop.time() >= 2

        loop.call_later(3, plane.stream_over, other)

        assert await plane.wait_idle(10)
        assert plane.active_streams == 0

    run_virtual(main())


def test_ids_of_streams_and_edges_are_unique() -> None:
    async def main() -> None:
        plane = EdgeKit().plane
        assert len({plane.next_stream_id() for _ in range(1000)}) == 1000
        assert all(id.startswith("edge-test-") for id in (plane.next_stream_id(),))

    run_virtual(main())
    assert len({new_edge_id() for _ in range(100)}) == 100


def test_gauges_show_who_waits_and_fall_back_to_zero() -> None:
    async def main() -> None:
        plane = EdgeKit().plane
        plane.stale_s = lambda: 4.5
        plane._waiting_shown.add("echo-1")

        plane.publish_gauges()

        text = plane.metrics.render().decode()
        assert 'penstock_streams_waiting{deployment="echo-1"} 0.0' in text
        assert "penstock_control_plane_stale_seconds 4.5" in text

    run_virtual(main())


def test_who_goes_away_gets_no_more_streams() -> None:
    async def main() -> None:
        plane = EdgeKit().plane
        plane.apply(snapshot(1, 1, "a"))

        plane._go_away("a-r")

        assert plane.placement.choose("a", (), plane.now()) is None

    run_virtual(main())


def test_beside_many_edges_streams_are_placed_by_samples() -> None:
    async def main() -> None:
        plane = EdgeKit().plane
        for version, edge_count in ((1, 2), (2, 50)):
            busy = [
                control_pb2.ReplicaRoute(
                    replica_id=f"r{number}",
                    deployment_id="a",
                    address="a:1",
                    state=control_pb2.REPLICA_STATE_READY,
                    active_streams=number,
                    stream_capacity=1000,
                )
                for number in range(100)
            ]
            plane.apply(control_pb2.Snapshot(epoch=1, version=version, replicas=busy, edge_count=edge_count))

            chosen = {plane.placement.choose("a", (), plane.now()) for _ in range(100)}

            assert (len(chosen) == 1) == (edge_count == 2)

    run_virtual(main())


def test_many_reasons_wake_a_line_once() -> None:
    async def main() -> None:
        woken: list[str] = []

        class Lines(WaitingLines):
            def wake(self, deployment_id: str, limit: int) -> bool:
                woken.append(deployment_id)
                return woken == ["long"]

        plane = EdgeKit().plane
        plane.waiting = Lines()

        for _ in range(1000):
            plane.wake_soon("a")
        await asyncio.sleep(0)
        assert woken == ["a"]

        plane.wake_soon("a")
        plane.wake_soon("b")
        await asyncio.sleep(0)
        assert sorted(woken) == ["a", "a", "b"]

        woken.clear()
        plane.wake_soon("long")
        await asyncio.sleep(0)
        assert woken == ["long"], "data passes before the rest is woken"
        await asyncio.sleep(0)
        assert woken == ["long", "long"]

    run_virtual(main())
