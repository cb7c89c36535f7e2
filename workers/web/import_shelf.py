"""Where uploaded files are kept for a day at most: each import has a folder under STATE_DIR that no other user of this machine may read.

The choices in the form and the import's progress are stored beside the file, so that both outlive a restart.
"""

from __future__ import annotations

import os
import shutil
import time
import uuid
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import IO, Any, Final, Literal

import orjson

from workers.web.sessions import Role

__all__ = ["KEPT_SECONDS", "MOST_FILES", "Record", "Shelf", "ShelfFull"]

#: How many files are kept at a time.
MOST_FILES: Final = 50
#: How long a file is kept at most, in seconds.
KEPT_SECONDS: Final = 86400.0
#: How many times to try to remove a folder, because something may be written to it meanwhile.
DROPS: Final = 3
_ABOUT: Final = "about.json"

#: ``draft``: nothing was enqueued; ``running``: it goes on after a restart; ``stopped``: it can be begun again; ``done``: all is answered.
State = Literal["draft", "running", "stopped", "done"]


class ShelfFull(Exception):  # noqa: N818 - says what is the case
    """MOST_FILES files are kept already."""


@dataclass(slots=True)
class Record:
    """One import."""

    #: Also the id of its batch.
    id: str
    #: Who uploaded the file: a digest that shows nothing about them.
    owner: str
    #: The role that their token opens.
    role: Role
    file_name: str
    channel: str
    #: When the file was uploaded (Unix seconds).
    at: float
    state: State = "draft"
    #: Was anything enqueued?
    began: bool = False
    #: Why it did not begin, or stopped before its end.
    why: str = ""
    #: The fields of the form, as they were filled in.
    chosen: dict[str, str] = field(default_factory=dict)
    #: What each column of the file was said to hold.
    columns: dict[str, str] = field(default_factory=dict)
    #: The group, once it is known or created.
    group_id: str = ""
    #: How many rows were read, enqueued, refused, repeated and present, once the file was read to its end.
    counts: dict[str, int] = field(default_factory=dict)


class Shelf:
    """The imports of this folder. A record is written by one thread at a time: by the page, or by the import that is under way."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def path(self, record: Record, name: str) -> Path:
        """Return the path of a file of this import."""
        return self._folder / record.id / name

    def file(self, record: Record) -> Path:
        """Return the path of the file that was uploaded."""
        return self.path(record, "file.csv")

    def put(self, file: IO[bytes], record: Record) -> None:
        """Keep an uploaded file, piece by piece.

        Raises:
            ShelfFull: too many files are kept.
            OSError: it cannot be written; nothing is kept.
        """
        if len(self._names()) >= MOST_FILES:
            raise ShelfFull
        # Also if the folder existed: somebody may have made it with other permissions.
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder.chmod(0o700)
        own = self._folder / record.id
        own.mkdir(mode=0o700)
        try:
            with _private(self.file(record)) as copy:
                shutil.copyfileobj(file, copy)
            self.save(record)
        except BaseException:
            shutil.rmtree(own, ignore_errors=True)
            raise

    def save(self, record: Record) -> None:
        """Write the record of an import, unless the import was dropped meanwhile.

        Raises:
            OSError: it cannot be written.
        """
        path = self.path(record, _ABOUT)
        # Replace the file in one step: a reader sees the old text or the new one, also after a power cut.
        new = path.with_suffix(f".{uuid.uuid4().hex}")
        with suppress(FileNotFoundError):
            with _private(new) as about:
                about.write(orjson.dumps(asdict(record)))
                about.flush()
                os.fsync(about.fileno())
            new.replace(path)

    def get(self, name: str) -> Record | None:
        """Return the import of this id; None if there is none, or its time is over."""
        if name not in self._names():
            return None
        with suppress(OSError):
            return self._read(name)
        return None

    def _read(self, name: str) -> Record | None:
        """Return the import's record; None if there is none, if it is broken, or if its time is over.

        Raises:
            OSError: it is there, but cannot be read.
        """
        with suppress(FileNotFoundError, ValueError, TypeError):
            told: dict[str, Any] = orjson.loads((self._folder / name / _ABOUT).read_bytes())
            known = {each.name for each in fields(Record)}
            record = Record(**{key: value for key, value in told.items() if key in known})
            return None if _is_old(record.at) else record
        return None

    def all(self) -> list[Record]:
        """Return all imports, the newest first."""
        found = [record for name in self._names() if (record := self.get(name))]
        return sorted(found, key=lambda record: record.at, reverse=True)

    def drop(self, name: str) -> None:
        """Remove an import's files."""
        for _ in range(DROPS):
            # If its record is written meanwhile, the new file keeps the folder from being removed: try again.
            if name in self._names():
                shutil.rmtree(self._folder / name, ignore_errors=True)

    def old(self) -> list[str]:
        """Return the ids of imports whose time is over, and of folders without a record, or with a broken one.

        Raises:
            OSError: the folder of all imports cannot be read.
        """
        found = []
        for name in self._names():
            # A new folder has no record yet: give it a minute.
            kept = 60.0
            try:
                if self._read(name) is not None:
                    continue
            except OSError:
                # Perhaps it can be read again later: too many files are open, or the disk fails for a moment.
                kept = KEPT_SECONDS
            with suppress(OSError):
                if _is_old(self._folder.joinpath(name).stat().st_mtime, kept):
                    found.append(name)
        return found

    def _names(self) -> set[str]:
        with suppress(FileNotFoundError):
            return {entry.name for entry in os.scandir(self._folder) if entry.is_dir(follow_symlinks=False)}
        return set()


def _is_old(at: float, kept: float = KEPT_SECONDS) -> bool:
    return time.time() - at > kept


def _private(path: Path) -> IO[bytes]:
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600), "wb")
