"""`python -m penstock.chains.generating`: imports a chain's file and writes its Trusses, in a process of its own.

The file is its author's program: it may import much, print, or end the process. Who asks (`penstock.chains.generation`)
must not be touched by that.
"""

from __future__ import annotations

import argparse
import json
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from penstock.chains import alias
from penstock.chains.errors import ChainsUsageError
from penstock.chains.generated import GeneratedChain, write_chain
from penstock.chains.source_file import load_chain

_OWN_FRAMES = (str(Path(__file__).parents[1]), "<frozen ")


def main(argv: Sequence[str] | None = None) -> int:
    """Writes the Trusses, and a JSON object about them; returns the exit status."""
    parser = argparse.ArgumentParser(prog="penstock.chains.generating")
    parser.add_argument("file", type=Path)
    parser.add_argument("--entrypoint", default=None)
    parser.add_argument("--name", default=None)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--result", type=Path, required=True)
    arguments = parser.parse_args(argv)
    content: dict[str, Any]
    try:
        content = outcome(generate(arguments.file, arguments.entrypoint, arguments.name, arguments.folder))
    except ChainsUsageError as exc:
        content = {"error": str(exc)}
    except ModuleNotFoundError as exc:
        content = {"error": f"{user_traceback(exc)}\n{_advice(exc)}"}
    except BaseException as exc:
        content = {"error": user_traceback(exc)}
    arguments.result.write_text(json.dumps(content))
    return 1 if "error" in content else 0


def generate(file: Path, entrypoint: str | None, name: str | None, folder: Path) -> GeneratedChain:
    """Imports the file and writes its Trusses; raises as `load_chain` and `write_chain`, and what the file raises."""
    alias.install()
    loaded = load_chain(file, entrypoint)
    chosen = name or loaded.chain_name or str(loaded.entrypoint.display_name)
    return write_chain(loaded.entrypoint, loaded, folder, chosen)


def outcome(chain: GeneratedChain) -> dict[str, Any]:
    """Returns what is told of a chain."""
    return {
        "name": chain.name,
        "warnings": list(chain.warnings),
        "sources": [str(path) for path in chain.sources],
        "chainlets": [
            {
                "display_name": each.display_name,
                "directory": str(each.directory),
                "is_entrypoint": each.is_entrypoint,
                "dependencies": list(each.dependencies),
                "kind": each.kind,
                "changed": list(each.changed),
                "example": each.example,
            }
            for each in chain.chainlets
        ],
    }


def user_traceback(exc: BaseException) -> str:
    """Returns the traceback of what a chain's file raised, from its own frames on."""
    frames = traceback.extract_tb(exc.__traceback__)
    first = next((i for i, frame in enumerate(frames) if not frame.filename.startswith(_OWN_FRAMES)), len(frames))
    shown = frames[first:]
    if not shown and not isinstance(exc, ChainsUsageError | SyntaxError):
        # A defect of ours.
        shown = frames
    lines = ["Traceback (most recent call last):\n", *traceback.format_list(shown)] if shown else []
    return "".join([*lines, *traceback.format_exception_only(exc)]).rstrip()


def _advice(exc: ModuleNotFoundError) -> str:
    return (
        f"{exc.name} is not installed where the chain is generated. Install it here, or import it inside the "
        "chainlet's __init__: there it is needed only where the chainlet runs."
    )


if __name__ == "__main__":
    sys.exit(main())
