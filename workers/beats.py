"""The beats of this host's worker processes, in files: whether they are alive and turn is known without Redis.

Each process holds a lock on its file for as long as it lives, so that a file that a killed process left is never taken for a living one,
whoever has its number now. Times are those of the machine's monotonic clock, which nobody sets.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

__all__ = ["Beat", "Beats", "beats_folder", "living"]


class Beats(NamedTuple):
    """One living process: since when it has not turned, and for how long it may be silent, in seconds.

    And for how long it has ended no job though all its places are taken, where that is longer than an attempt may take; else 0.
    """

    pid: int
    silent: float
    allowed: float
    standing: float

    @property
    def turns(self) -> bool:
        """Return whether its event loop turned lately."""
        return 0 <= self.silent <= self.allowed


def beats_folder(*, state_dir: str, redis_url: str, broker_namespace: str, key_prefix: str) -> Path:
    """Return the folder of the processes that work for this Redis under these two names.

    Raises PermissionError where somebody else could put files in their place.
    """
    base = Path(state_dir) if state_dir else _users_own()
    # Without user and password: a new password makes no other Redis.
    server = redis_url.partition("://")[2].rpartition("@")[2]
    digest = hashlib.sha256(f"{server}\n{broker_namespace}\n{key_prefix}".encode()).hexdigest()
    return base / digest[:12]


def _users_own() -> Path:
    """Return this user's folder for run-time files. In a folder of all users, somebody else may have made one of that name."""
    base = os.environ.get("XDG_RUNTIME_DIR") or os.environ.get("TMPDIR") or "/tmp"  # noqa: S108 - see below
    folder = Path(base, f"coupontools-worker-{os.getuid()}")
    with suppress(FileNotFoundError):
        found = folder.lstat()
        if found.st_uid != os.getuid() or found.st_mode & 0o022:
            raise PermissionError(f"{folder} belongs to another user, or others may write it; set STATE_DIR")
    return folder


def living(folder: Path) -> Iterator[Beats]:
    """Yield the processes of this folder that live, with their last beats."""
    for file in sorted(folder.glob("*.beat")):
        with suppress(OSError, ValueError), file.open("rb") as beat:
            if not _is_locked(beat.fileno()):
                continue
            at, allowed, standing = map(float, beat.read().split())
            yield Beats(int(file.stem), time.monotonic() - at, allowed, standing)


def _is_locked(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    return False


class Beat:
    """The beat of this process."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / f"{os.getpid()}.beat"
        self._file = -1
        for left in folder.glob("*.beat"):
            # What killed processes left. A living one that has not locked its file yet writes it anew at its next beat.
            with suppress(OSError), left.open("rb") as file:
                if not _is_locked(file.fileno()):
                    left.unlink()

    def beat(self, allowed: float, standing: float = 0.0) -> None:
        """Write that this process turns, that it may be silent for so many seconds from now on, and for how long no job of it has ended.

        Raises OSError where the file cannot be written.
        """
        if self._file < 0 or not self._path.exists():
            self.end()
            if not self._open():
                # Somebody looks whether it is locked just now: no fault of the folder. The next beat finds it free.
                return
        # As wide as the last one, so that a reader never sees the end of an older beat behind it. The time is told in full: rounded, it
        # could lie ahead of a reader's clock, and such a beat is none of this machine's.
        os.pwrite(self._file, f"{time.monotonic():20.9f} {allowed:20.3f} {standing:20.3f}".encode(), 0)

    def _open(self) -> bool:
        """Return whether the file is this process's now."""
        for folder in (self._path.parent.parent, self._path.parent):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(file)
            return False
        except OSError:
            os.close(file)
            raise
        self._file = file
        return True

    def end(self) -> None:
        """Take the file away."""
        if self._file >= 0:
            self._path.unlink(missing_ok=True)
            os.close(self._file)
            self._file = -1
            with suppress(OSError):
                # The last one leaves nothing.
                self._path.parent.rmdir()
