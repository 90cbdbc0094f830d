"""Has the Trusses of a chain written by a process of its own: see `penstock.chains.generating`."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from penstock.chains.chain_file import ChainFile
from penstock.chains.generated import GeneratedChain, GeneratedChainlet

TIMEOUT_S = 300.0
"""A file that takes longer to import has none of its work in its classes."""
END_S = 5.0
"""Time for the process to end once it is killed."""
OUTPUT_BYTES_MAX = 64 * 1024
"""So much of the end of what the file prints is kept."""


class GenerationError(Exception):
    """The chain cannot be served as it is; the text is all that is wrong, for people."""

    def __init__(self, text: str, output: str = "") -> None:
        super().__init__(text)
        self.output = output
        """What the file has printed."""


@dataclass(frozen=True, slots=True)
class Generation:
    """What was written."""

    chain: GeneratedChain
    output: str = ""
    """What the file has printed."""


async def generate(chain: ChainFile, folder: Path) -> Generation:
    """Imports the chain's file in a process of its own, and writes its Trusses into `folder`.

    Raises:
        GenerationError: The file breaks a rule, raises, or takes too long.
    """
    with tempfile.TemporaryDirectory(prefix="penstock-chain-") as place:
        with _output(Path(place, "output")) as output:
            await _run(_command(chain, folder, Path(place, "result")), output.fileno())
        return _outcome(chain, Path(place))


def _output(path: Path) -> IO[bytes]:
    return path.open("wb")


def _outcome(chain: ChainFile, place: Path) -> Generation:
    with (place / "output").open("rb") as output:
        output.seek(max(0, output.seek(0, os.SEEK_END) - OUTPUT_BYTES_MAX))
        printed = output.read(OUTPUT_BYTES_MAX).decode("utf-8", "replace").strip()
    try:
        content: dict[str, Any] = json.loads((place / "result").read_text())
    except (OSError, ValueError):
        said = f":\n{printed}" if printed else ""
        raise GenerationError(f"{chain.file}: the process that imports it has died{said}") from None
    if "error" in content:
        raise GenerationError(str(content["error"]), printed)
    return Generation(_read(content), printed)


def _command(chain: ChainFile, folder: Path, result: Path) -> list[str]:
    # -P: the working directory is not the chain's, and its modules must not hide others.
    command = [sys.executable, "-P", "-m", "penstock.chains.generating", str(chain.file)]
    command += [f"--folder={folder}", f"--result={result}"]
    command += [f"--entrypoint={chain.entrypoint}"] if chain.entrypoint is not None else []
    command += [f"--name={chain.name}"] if chain.name is not None else []
    return command


async def _run(command: list[str], output_fd: int) -> None:
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.DEVNULL, stdout=output_fd, stderr=output_fd
    )
    try:
        async with asyncio.timeout(TIMEOUT_S):
            await process.wait()
    except TimeoutError:
        raise GenerationError(
            f"importing the chain's file takes more than {TIMEOUT_S:.0f} s; move work from the file into the "
            "__init__ of its chainlets"
        ) from None
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(asyncio.shield(process.wait()), END_S)


def _read(content: dict[str, Any]) -> GeneratedChain:
    return GeneratedChain(
        name=content["name"],
        chainlets=tuple(
            GeneratedChainlet(
                display_name=each["display_name"],
                directory=Path(each["directory"]),
                is_entrypoint=each["is_entrypoint"],
                dependencies=tuple(each["dependencies"]),
                kind=each["kind"],
                changed=tuple(each["changed"]),
                example=each["example"],
            )
            for each in content["chainlets"]
        ),
        warnings=tuple(content["warnings"]),
        sources=tuple(Path(path) for path in content["sources"]),
    )
