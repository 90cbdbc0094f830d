"""Which replica has which GPU of this machine. Pure.

A GPU is never shared: two models that both fit by themselves would end one another when their memory grows.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from penstock_controller.actuators.base import NoFreeGpuError, StartError

HOLDERS_NAMED = 5
"""Replicas that a message names; the rest is counted."""


def parse_devices(text: str) -> tuple[str, ...]:
    """Reads a list as in CUDA_VISIBLE_DEVICES: indexes or ids ("GPU-…", "MIG-…") between commas.

    "none" and an empty text mean no device. As CUDA does, it stops at a negative number.
    """
    devices: list[str] = []
    for part in text.split(","):
        device = part.strip()
        if not device or device.lower() == "none" or device.startswith("-"):
            break
        if device not in devices:
            devices.append(device)
    return tuple(devices)


def parse_nvidia_smi(output: str) -> tuple[str, ...]:
    """Reads what `nvidia-smi -L` prints: the indexes of the GPUs, or the ids of their parts where they are divided."""
    devices: list[str] = []
    parts: dict[str, list[str]] = {}
    for line in output.splitlines():
        if gpu := re.match(r"GPU (\d+):", line):
            devices.append(gpu[1])
        elif devices and (part := re.match(r"\s+MIG .*\(UUID: (MIG-[^)]+)\)", line)):
            parts.setdefault(devices[-1], []).append(part[1])
    return tuple(name for device in devices for name in parts.get(device, [device]))


class Gpus:
    """The devices of one machine and who holds them."""

    def __init__(self, devices: Iterable[str] = ()) -> None:
        self.devices = tuple(devices)
        self._held: dict[str, tuple[str, ...]] = {}

    def held_by(self, replica_id: str) -> str:
        """Returns the devices of a replica, as CUDA_VISIBLE_DEVICES names them; empty when it has none."""
        return ",".join(self._held.get(replica_id, ()))

    def take(self, replica_id: str, wanted: int) -> str:
        """Gives a replica `wanted` free devices, the first ones of the list. Returns them as `held_by` does.

        On a machine without any GPU nobody gets one, and that is no error: the model may run without.

        Raises:
            NoFreeGpuError: Others hold too many of them.
            StartError: The machine does not have so many.
        """
        if wanted <= 0 or not self.devices:
            return ""
        if wanted > len(self.devices):
            raise StartError(
                f"the model asks for {wanted} GPUs and this machine has {len(self.devices)}; "
                "lower `resources.accelerator` in config.yaml, or serve it on another machine"
            )
        taken = {device for devices in self._held.values() for device in devices}
        free = [device for device in self.devices if device not in taken]
        if len(free) < wanted:
            raise NoFreeGpuError(self._shortage(wanted, len(free)))
        self._held[replica_id] = tuple(free[:wanted])
        return self.held_by(replica_id)

    def restore(self, replica_id: str, devices: str) -> None:
        """Notes what a replica was given by an earlier controller life."""
        if held := parse_devices(devices):
            self._held[replica_id] = held

    def release(self, replica_id: str) -> None:
        self._held.pop(replica_id, None)

    def _shortage(self, wanted: int, free: int) -> str:
        holders = sorted(replica_id for replica_id, held in self._held.items() if set(held) & set(self.devices))
        named = ", ".join(holders[:HOLDERS_NAMED])
        if len(holders) > HOLDERS_NAMED:
            named += f" and {len(holders) - HOLDERS_NAMED} more"
        total = len(self.devices)
        if not free:
            return f"no free GPU: {total} of {total} are in use by {named}"
        return f"not enough free GPUs: {wanted} are needed, {total - free} of {total} are in use by {named}"
