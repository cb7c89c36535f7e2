"""The beats of this host's worker processes, in files: they show without Redis whether the processes live and their loops turn.

Each process locks its file for as long as it lives, so that the file of a killed process is never taken for that of a living one, even if
another process has its pid now. Times are those of the machine's monotonic clock, which nobody sets.
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
    """One living process: for how long it has not turned, and for how long it may be silent, in seconds.

    ``standing`` is for how long no job has ended though all places are taken, if that is longer than an attempt may take; else 0.
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

    Raises PermissionError if another user could put files in their place.
    """
    base = Path(state_dir) if state_dir else _users_own()
    # Leave out user and password: with a new password it is still the same Redis.
    server = redis_url.partition("://")[2].rpartition("@")[2]
    digest = hashlib.sha256(f"{server}\n{broker_namespace}\n{key_prefix}".encode()).hexdigest()
    return base / digest[:12]


def _users_own() -> Path:
    """Return this user's folder for run-time files. Raises PermissionError if another user made it, or may write to it."""
    base = os.environ.get("XDG_RUNTIME_DIR") or os.environ.get("TMPDIR") or "/tmp"  # noqa: S108 - see below
    folder = Path(base, f"coupontools-worker-{os.getuid()}")
    with suppress(FileNotFoundError):
        found = folder.lstat()
        if found.st_uid != os.getuid() or found.st_mode & 0o022:
            raise PermissionError(f"{folder} belongs to another user, or others may write it; set STATE_DIR")
    return folder


def living(folder: Path) -> Iterator[Beats]:
    """Yield the living processes of this folder, with their last beats."""
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
            # Remove the files of killed processes. A living one that has not locked its file yet makes a new one at its next beat.
            with suppress(OSError), left.open("rb") as file:
                if not _is_locked(file.fileno()):
                    left.unlink()

    def beat(self, allowed: float, standing: float = 0.0) -> None:
        """Write that the loop turned now, for how long the process may be silent, and for how long no job has ended, in seconds.

        Raises OSError if the file cannot be written.
        """
        if self._file < 0 or not self._path.exists():
            self.end()
            if not self._open():
                return
        # All beats are of one width, so that a reader never sees the end of an older one. The time is written in full: rounded up, it could
        # be ahead of the reader's clock, and a beat from the future does not count.
        os.pwrite(self._file, f"{time.monotonic():20.9f} {allowed:20.3f} {standing:20.3f}".encode(), 0)

    def _open(self) -> bool:
        """Open and lock the file. Return False if another process is in the way just now, which is no fault of the folder."""
        for folder in (self._path.parent.parent, self._path.parent):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        except FileNotFoundError:
            # The last of the other processes has ended and removed the folder. The next beat makes it again.
            return False
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            # A probe is testing the lock. The next beat finds it free.
            os.close(file)
            return False
        except OSError:
            os.close(file)
            raise
        self._file = file
        return True

    def end(self) -> None:
        """Remove the file."""
        if self._file >= 0:
            self._path.unlink(missing_ok=True)
            os.close(self._file)
            self._file = -1
            with suppress(OSError):
                # The folder is empty once the last process has ended.
                self._path.parent.rmdir()
