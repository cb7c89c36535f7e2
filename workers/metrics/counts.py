"""The files in which the processes of one `run` keep their counts, as prometheus_client lays them out: a file for each kind and process.

https://prometheus.github.io/client_python/multiprocess/
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

__all__ = ["Counts", "reserve"]

log = logging.getLogger("workers.metrics")

#: The kinds whose counts outlive their process, and the one that ends with it.
LASTING = ("counter", "histogram")
PASSING = ("gauge_livesum",)
#: As large as the client library makes a file. It grows beyond that only with some thousand series.
FILE_BYTES = 1 << 20
#: Where the counts of processes that have ended go; no process has this number.
ENDED = 0


def reserve(folder: str, pid: int) -> None:
    """Reserve the room for the files of a process.

    The client library maps sparse files into memory. If the disk has no room for a page of one, writing to it ends the process by SIGBUS,
    without a line in the log.

    Raises OSError if there is no room.
    """
    for file in _files(folder, pid, LASTING + PASSING):
        file.write_bytes(bytes(FILE_BYTES))


def _files(folder: str, pid: int, kinds: tuple[str, ...]) -> list[Path]:
    return [Path(folder, f"{kind}_{pid}.db") for kind in kinds]


class Counts:
    """Collects what all processes have counted, also those that have ended."""

    def __init__(self, folder: str) -> None:
        from prometheus_client import multiprocess  # noqa: PLC0415 - only where the extra is installed

        self._folder = folder
        self._collector = multiprocess.MultiProcessCollector(None, path=folder)
        #: A scrape must not see counts in two places, or in none.
        self._lock = threading.Lock()
        reserve(folder, ENDED)

    def collect(self) -> Iterator[Any]:
        """Yield every metric."""
        with self._lock:
            yield from list(self._collector.collect())

    def process_ended(self, pid: int) -> None:
        """Add the counts of a process to those of all that have ended, and remove its files."""
        with self._lock:
            try:
                self._add(pid)
            except Exception as error:
                # A file that a killed process left half written must not end the supervisor.
                log.warning("metrics.counts_lost", extra={"pid": pid, "error": str(error)})
            for file in _files(self._folder, pid, LASTING + PASSING):
                file.unlink(missing_ok=True)

    def _add(self, pid: int) -> None:
        from prometheus_client.mmap_dict import MmapedDict  # noqa: PLC0415 - as above

        ended, totals = _files(self._folder, pid, LASTING), _files(self._folder, ENDED, LASTING)
        for file, total in zip(ended, totals, strict=True):
            if file.exists():
                sums = MmapedDict(str(total))
                for key, value, at, _ in MmapedDict.read_all_values_from_file(str(file)):
                    sums.write_value(key, sums.read_value(key)[0] + value, at)
                sums.close()
