"""Says which line of the requirements an installer has failed at, and why. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence

from penstock.preparation.requirement_line import RequirementLine, normalize, redact

LINES_SHOWN = 20
"""Last lines of the installer in an error."""
NAMED_MAX = 5
"""More lines than these are not named: then it is not known which one it was."""

_ERROR = re.compile(
    r"error|×|╰|╭|because|conflict|no matching|could not|cannot|failed|invalid|depends on", re.IGNORECASE
)
_PLACE = re.compile(r"(?:\(|at |, )(?:from )?line (\d+) of ([^\s)]+)|([^\s`'\"]+):(\d+):\d+")
_BEGUN = re.compile(r"(?:Processing|Collecting|Obtaining) (?:file://)?(\S+)")
_TOKEN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_HINTS = (
    (
        re.compile(r"no space left on device", re.IGNORECASE),
        "The disk is full: free some space, or use another folder for the cache.",
    ),
    (
        re.compile(
            r"NewConnectionError|Name or service not known|Temporary failure in name resolution|dns error|"
            r"Connection refused|ConnectTimeout|Failed to connect|client error \(Connect\)",
        ),
        "The package index cannot be reached: check the network, or name another with pip's configuration, "
        "UV_DEFAULT_INDEX or PENSTOCK_PIP_ARGS.",
    ),
    (
        re.compile(r"git.*(not found|No such file)|Cannot find command 'git'|Git executable not found", re.IGNORECASE),
        "git is needed for `git+` requirements and is not installed.",
    ),
    (
        re.compile(r"Requires-Python|requires a different Python|requires Python|current Python version"),
        "A version was made for another Python: change the pin, or `python_version` in config.yaml.",
    ),
    (
        re.compile(
            r"(gcc|cc|g\+\+|x86_64-linux-gnu-gcc)\S*:? .*not found|No such file or directory: '(gcc|cc|g\+\+)'|"
            r"command '(gcc|cc|g\+\+|\S*-gcc)' failed|unable to execute '(gcc|cc)'"
        ),
        "A package has to be compiled: install a compiler, or pin a version that has a wheel for this Python.",
    ),
)


def explain_failure(
    lines: Sequence[RequirementLine], output: Sequence[str], *, origin: str, file: str, how: str, installer: str
) -> str:
    """Returns the message for a failed installation.

    Args:
        lines: The requirements; the n-th stands in line n of `file`.
        origin: Where the user wrote them.
        how: How the installer ended, for a sentence.
    """
    blamed = failing_lines(lines, output, file)
    if blamed:
        what = ", ".join(f"`{line.shown}`" for line in blamed)
        head = f"{origin}: {what}: cannot be installed; {installer} {how}"
    else:
        head = f"{origin}: cannot be installed; {installer} {how}"
    hints = [hint for pattern, hint in _HINTS if any(pattern.search(line) for line in output)]
    return "\n".join([head, *(f"  {redact(line)}" for line in _last_words(output)), *hints])


def failing_lines(lines: Sequence[RequirementLine], output: Sequence[str], file: str) -> list[RequirementLine]:
    """Returns the lines that the installer's errors name; empty when they name none, or nearly all."""
    errors = [line for line in output if _ERROR.search(line)]
    for text in errors:
        for found in _PLACE.finditer(text):
            number, path = (found[1], found[2]) if found[1] else (found[4], found[3])
            # Installers show the path as they like: in full, or relative to where they run.
            if file.endswith(path.lstrip("./")) and 1 <= int(number) <= len(lines):
                return [lines[int(number) - 1]]
    for text in errors:
        if found_name := re.search(r"No matching distribution found for ([A-Za-z0-9._-]+)", text):
            exact = [line for line in lines if line.name == normalize(found_name[1])]
            if exact:
                return exact[:NAMED_MAX]
    written = {text.strip() for text in output}
    if quoted := [line for line in lines if line.text in written]:
        return quoted[:NAMED_MAX]
    if begun := _last_begun(lines, output):
        return [begun]
    named = {normalize(token.rstrip(".-_").removesuffix(".git")) for text in errors for token in _TOKEN.findall(text)}
    blamed = [line for line in lines if line.name and line.name in named]
    return blamed if len(blamed) <= NAMED_MAX else []


def _last_begun(lines: Sequence[RequirementLine], output: Sequence[str]) -> RequirementLine | None:
    """Returns the local folder or file at which a build failed: older versions of pip name it only when they begin."""
    begun: str | None = None
    for text in output:
        if found := _BEGUN.match(text):
            begun = found[1]
        elif begun is not None and "did not run successfully" in text:
            tail = begun.lstrip("./")
            return next((line for line in lines if line.path is not None and line.path.endswith(tail)), None)
    return None


def _last_words(output: Sequence[str]) -> Sequence[str]:
    """The end of the output, from the first error in it on."""
    last = list(output[-LINES_SHOWN:])
    start = next((index for index, line in enumerate(last) if _ERROR.search(line)), 0)
    return last[start:]
