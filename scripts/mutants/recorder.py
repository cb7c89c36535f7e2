"""Note which lines of some folders a process executes, each as soon as it is executed: a worker may be killed at any time.

Lines outside functions are left out: they are executed by the first import of a file, which says nothing about a test.
"""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path
from types import FrameType
from typing import Any

#: A flag of a code object: it is a function's, not a module's or a class's.
OPTIMIZED = 1


class Recorder:
    """Appends ``path:line`` to a file the first time that a line is executed."""

    def __init__(self, root: Path, folders: tuple[str, ...]) -> None:
        self._prefixes = tuple(f"{root / folder}{os.sep}" for folder in folders)
        self._cut = len(str(root)) + 1
        self._names: dict[str, str | None] = {}
        self._seen: set[tuple[str, int]] = set()
        self._out = -1

    def begin(self, out: Path) -> None:
        """Write to this file from now on, lines seen before as well."""
        if self._out >= 0:
            os.close(self._out)
        self._out = os.open(out, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        self._seen.clear()
        threading.settrace(self._called)
        sys.settrace(self._called)

    def _called(self, frame: FrameType, _event: str, _arg: Any) -> Any:
        filename = frame.f_code.co_filename
        if filename not in self._names:
            self._names[filename] = filename[self._cut :] if filename.startswith(self._prefixes) else None
        if self._names[filename] is None or not frame.f_code.co_flags & OPTIMIZED:
            return None
        return self._stepped

    def _stepped(self, frame: FrameType, event: str, _arg: Any) -> Any:
        here = frame.f_code.co_filename, frame.f_lineno
        if event == "line" and here not in self._seen:
            self._seen.add(here)
            os.write(self._out, f"{self._names[here[0]]}:{here[1]}\n".encode())
        return self._stepped
