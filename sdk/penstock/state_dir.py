"""The state folder of a controller: where it is, who holds it, and how its controller is found."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import stat
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

ADDRESS_VARIABLE = "PENSTOCK_CONTROLLER"
STATE_DIR_VARIABLE = "PENSTOCK_STATE_DIR"

CONTROLLER_FILE = "controller.json"
LOCK_FILE = "controller.lock"
SOCKET_FILE = "controller.sock"

SOCKET_PATH_BYTES_MAX = 100
"""sun_path holds 108 bytes with its final zero (unix(7)); gRPC and the lock of a socket need a few of them."""


class StateDirError(Exception):
    """The state folder cannot be used; the message says why and what to do."""


class StateDirInUseError(StateDirError):
    """Another controller holds the state folder."""

    def __init__(self, state_dir: Path, pid: int | None) -> None:
        self.state_dir = state_dir
        self.pid = pid
        holder = f"another controller (pid {pid})" if pid else "another controller"
        super().__init__(
            f"the state folder {state_dir} is in use by {holder}; stop it, or choose another folder with --state-dir"
        )


class ControllerNotFoundError(StateDirError):
    """No controller is known at the place that was looked at."""


@dataclass(frozen=True, slots=True)
class ControllerFile:
    """What a controller tells its clients in CONTROLLER_FILE."""

    address: str
    """ "host:port" or "unix:/path"."""
    pid: int
    epoch: int


def default_state_dir(env: Mapping[str, str]) -> Path:
    """Returns the folder used when none is named.

    $PENSTOCK_STATE_DIR, else $XDG_STATE_HOME/penstock, else ~/.local/state/penstock.
    """
    if named := env.get(STATE_DIR_VARIABLE):
        return Path(named).expanduser().absolute()
    # A relative path in XDG_STATE_HOME must be ignored (XDG Base Directory Specification).
    if (base := env.get("XDG_STATE_HOME")) and os.path.isabs(base):
        return Path(base) / "penstock"
    home = Path(env["HOME"]) if env.get("HOME") else Path.home()
    return (home / ".local" / "state" / "penstock").absolute()


def prepare_state_dir(path: Path) -> Path:
    """Makes `path` a folder that only this user can enter (0700), and returns it as an absolute path.

    Raises:
        StateDirError: it cannot be made, is not a folder, or belongs to someone else.
    """
    path = path.expanduser().absolute()
    _make_private(path)
    return path


def controller_socket(state_dir: Path) -> Path:
    """Returns where the controller of `state_dir` listens by default, and makes the folder for it.

    It is in the state folder, or, where that path is too long for a socket, in a private folder for temporary files.
    """
    path = state_dir / SOCKET_FILE
    if len(os.fsencode(path)) <= SOCKET_PATH_BYTES_MAX:
        return path
    folder = Path(tempfile.gettempdir()) / f"penstock-{os.getuid()}"
    _make_private(folder, may_be_link=False)
    name = hashlib.sha256(os.fsencode(state_dir)).hexdigest()[:16]
    return folder / f"{name}.sock"


def lock_state_dir(state_dir: Path) -> int:
    """Takes the state folder for this process, and returns the descriptor that holds it; closing it gives it back.

    Raises:
        StateDirInUseError: another process holds it.
    """
    fd = os.open(state_dir / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as exc:
        holder = os.pread(fd, 32, 0).decode("ascii", "replace").strip()
        os.close(fd)
        if exc.errno not in (errno.EWOULDBLOCK, errno.EACCES):
            raise StateDirError(f"cannot lock {state_dir / LOCK_FILE}: {exc.strerror}") from exc
        raise StateDirInUseError(state_dir, int(holder) if holder.isdigit() else None) from None
    os.ftruncate(fd, 0)
    os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
    return fd


def state_dir_holder(state_dir: Path) -> int | None:
    """Returns the pid of the controller that holds `state_dir`; None when it is free, 0 when the pid is not known."""
    try:
        fd = os.open(state_dir / LOCK_FILE, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        # A shared lock: two that only look must not see one another as the holder.
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        holder = os.pread(fd, 32, 0).decode("ascii", "replace").strip()
        return int(holder) if holder.isdigit() else 0
    finally:
        os.close(fd)
    return None


def write_controller_file(state_dir: Path, content: ControllerFile) -> None:
    """Replaces CONTROLLER_FILE as a whole: a reader sees the old or the new, never a part."""
    write_atomically(state_dir / CONTROLLER_FILE, json.dumps(asdict(content)) + "\n")


def read_controller_file(state_dir: Path) -> ControllerFile | None:
    """Returns what the last controller of `state_dir` wrote; None when there is nothing that can be understood."""
    try:
        content = json.loads((state_dir / CONTROLLER_FILE).read_text("utf-8"))
        return ControllerFile(str(content["address"]), int(content["pid"]), int(content["epoch"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def find_controller(address: str | None, state_dir: Path | None, env: Mapping[str, str]) -> str:
    """Returns the address of the controller that a command is meant for.

    Order: `address`, `state_dir`, $PENSTOCK_CONTROLLER, the default state folder. What was named on the command line
    (`address`, `state_dir`) goes before the environment.

    Raises:
        ControllerNotFoundError: no controller has written its address in the folder that was looked at.
    """
    if address:
        return address
    if state_dir is None and (named := env.get(ADDRESS_VARIABLE)):
        return named
    folder = (state_dir or default_state_dir(env)).expanduser().absolute()
    found = read_controller_file(folder)
    if found is None:
        raise ControllerNotFoundError(
            f"no controller is known in {folder} (there is no readable {CONTROLLER_FILE}); "
            f"start one, or name it with --address, --state-dir or {ADDRESS_VARIABLE}"
        )
    return found.address


def write_atomically(path: Path, text: str) -> None:
    """Writes `text` (mode 0600) beside `path` and moves it there.

    Raises:
        OSError: the folder is missing or cannot be written.
    """
    fd, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(fd, "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def _make_private(path: Path, *, may_be_link: bool = True) -> None:
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = path.stat() if may_be_link else path.lstat()
    except OSError as exc:
        raise StateDirError(f"cannot make the folder {path}: {exc.strerror}; choose another with --state-dir") from exc
    if not stat.S_ISDIR(found.st_mode):
        raise StateDirError(f"{path} is a link, not a folder; remove it")
    if found.st_uid != os.getuid():
        raise StateDirError(f"the folder {path} belongs to another user; choose another with --state-dir")
    if stat.S_IMODE(found.st_mode) & 0o077:
        # Closing a folder that others use for something else (/tmp, a home) would break it for them.
        if not (path / LOCK_FILE).exists() and any(path.iterdir()):
            raise StateDirError(
                f"the folder {path} is open to other users and holds files that are not Penstock's; "
                "choose a new or empty folder with --state-dir"
            )
        path.chmod(0o700)
