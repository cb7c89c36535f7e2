"""The imports that are under way in this process: in threads, so that no page waits for them, and only some at a time."""

from __future__ import annotations

import fcntl
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import redis
import structlog

from config import Settings, SettingsError
from workers.beats import beats_folder
from workers.http_server import Refused
from workers.imports import NotAnswered, Stopped, answers_of
from workers.redis_link import trouble_of
from workers.web.import_run import FAILED, LOOK_SECONDS, REFUSED, Run
from workers.web.import_shelf import Record, Shelf

__all__ = ["ELSEWHERE", "Listing", "Workshop"]

log = structlog.get_logger("workers.web")

#: Imports under way at a time, most of which only follow answers; and passes over a file, which cost CPU, of imports and of checks.
MOST_RUNNING: Final = 16
READING_AT_ONCE: Final = 2
#: Checks and listings of groups at a time. There is one listing for each of two channels, so listings never take all threads.
SMALL_AT_ONCE: Final = 4
#: Groups of one listing that are offered to choose from.
MOST_GROUPS: Final = 2000
ELSEWHERE: Final = "another process of `coupontools-worker web` carries this import out"
#: How often files whose time is over are looked for, in seconds.
SWEEP_SECONDS: Final = 300.0


@dataclass(slots=True)
class Listing:
    """The groups of one channel, as a job has listed them."""

    asked: bool = True
    problem: str = ""
    groups: tuple[tuple[str, str], ...] = ()
    #: How many groups there are, shown or not.
    total: int = 0


class Workshop:
    """Carries out imports and checks, and keeps their results for as long as their files are kept."""

    def __init__(self, settings: Settings, client: redis.Redis) -> None:
        self._settings = settings
        self._client = client
        self.shelf = Shelf(_folder(settings))
        #: Held from the reading of a record until what was done with it is written: of two forms about one import that come at once, the
        #: later one must see what the earlier one did.
        self.changing = threading.Lock()
        self._reading = {check: threading.Semaphore(READING_AT_ONCE) for check in (False, True)}
        self._imports = ThreadPoolExecutor(MOST_RUNNING, "import")
        self._small = ThreadPoolExecutor(SMALL_AT_ONCE, "check")
        self._lock = threading.Lock()
        self._runs: dict[str, Run] = {}
        self._listings: dict[str, Listing] = {}
        self._ending: list[int] = []
        self._closed = threading.Event()
        self._sweeper = threading.Thread(target=self._sweep, name="sweeper", daemon=True)

    def start(self) -> None:
        """Go on with the imports that an earlier process left, and begin to remove files whose time is over.

        Raises:
            SettingsError: their folder cannot be read.
        """
        try:
            left = self.shelf.all()
        except OSError as error:
            raise SettingsError([f"STATE_DIR: {error.filename} cannot be read: {error.strerror}"]) from None
        for record in left:
            if record.state == "running":
                log.info("web.import_goes_on", batch_id=record.id)
                self._submit(record, patient=True)
        self._sweeper.start()

    def stop(self) -> None:
        """End the threads; imports that were under way go on with the next process. Blocks until they have ended."""
        self._closed.set()
        self._ending.append(1)
        with self._lock:
            runs = list(self._runs.values())
        for run in runs:
            run.closing = True
            run.signals.append(1)
        for pool in (self._imports, self._small):
            pool.shutdown(cancel_futures=True)

    def run_of(self, record: Record) -> Run | None:
        """Return the present or latest run of an import in this process."""
        return self._runs.get(record.id)

    def files_of(self, record: Record) -> list[str]:
        """Return which files of wrong rows there are; not those that are still being written, which would be cut off in the middle."""
        run = self._runs.get(record.id)
        whole = {REFUSED: run is None or run.followed or run.ended, FAILED: run is None or run.ended}
        return [
            kind for kind, is_whole in whole.items() if is_whole and self.shelf.path(record, kind).exists()
        ]

    def check(self, record: Record) -> None:
        """Read the file to its end, and enqueue nothing."""
        with self._lock:
            before = self._runs.get(record.id)
            if before is not None and not before.ended:
                before.signals.append(1)
            run = self._runs[record.id] = self._new(record, before, check=True)
        self._small.submit(self._check, run)

    def begin(self, record: Record) -> None:
        """Import the file, or go on with it.

        Raises:
            Refused: too many imports are under way.
            OSError: its state cannot be written.
        """
        with self._lock:
            under_way = sum(not (run.ended or run.stopped or run.check) for run in self._runs.values())
            if under_way >= MOST_RUNNING:
                raise Refused(
                    503, "too many imports are under way; begin this one when one of them has ended"
                )
            before = self._runs.get(record.id)
            if before is not None and not (before.ended or before.stopped):
                if not before.check:
                    return
                before.signals.append(1)
            record.state, record.why = "running", ""
            self.shelf.save(record)
            self._submit(record, before)

    def halt(self, record: Record) -> bool:
        """Stop an import between two steps; return whether there was anything to stop."""
        run = self._runs.get(record.id)
        if run is None or run.ended or run.stopped or run.check:
            return False
        run.signals.append(1)
        return True

    def drop(self, name: str) -> None:
        """Forget an import and its files; the jobs that it enqueued go on."""
        with self._lock:
            run = self._runs.pop(name, None)
            if run is not None:
                run.closing = True
                run.signals.append(1)
        self.shelf.drop(name)

    def listing_of(self, channel: str) -> Listing | None:
        """Return the groups of a channel; None if nobody has asked for them."""
        return self._listings.get(channel)

    def list_groups(self, channel: str) -> None:
        """Enqueue a job that lists the groups of a channel, unless one is under way."""
        with self._lock:
            before = self._listings.get(channel)
            if before is not None and before.asked:
                return
            listing = self._listings[channel] = Listing()
        self._small.submit(self._list, channel, listing)

    def _list(self, channel: str, listing: Listing) -> None:
        groups: list[tuple[str, str]] = []
        try:
            for page in answers_of(
                self._client,
                self._settings,
                "list_groups",
                {"channel": channel},
                say=lambda text: setattr(listing, "problem", text),
                signals=self._ending,
            ):
                listing.total = page["total"]
                groups += [(group["group_id"], group["name"]) for group in page["groups"]]
                del groups[MOST_GROUPS:]
            listing.problem = ""
        except (NotAnswered, Stopped) as error:
            listing.problem = f"the groups could not be listed: {error}"
        except redis.RedisError as error:
            listing.problem = trouble_of(error)
        except Exception:
            listing.problem = "a fault of ours; the log of `coupontools-worker web` says more"
            log.exception("web.failed", path="/imports")
        listing.groups = tuple(sorted(groups, key=lambda group: group[1].casefold()))
        listing.asked = False

    def _new(self, record: Record, after: Run | None, *, check: bool) -> Run:
        return Run(
            self._settings, self._client, self.shelf, record, self._reading[check], check=check, after=after
        )

    def _submit(self, record: Record, after: Run | None = None, *, patient: bool = False) -> None:
        run = self._runs[record.id] = self._new(record, after, check=False)
        run.patient = patient
        self._imports.submit(self._carry_out, run)

    @staticmethod
    def _check(run: Run) -> None:
        try:
            run.carry_out()
        finally:
            run.end()

    def _carry_out(self, run: Run) -> None:
        """Carry an import out; wait while another process of this folder does."""
        # An earlier pass of this process has the lock until it ends.
        run.wait_for_the_one_before()
        try:
            lock = self._open_lock(run.record)
        except OSError as error:
            run.end(f"its folder cannot be written: {error.strerror}")
            return
        try:
            self._in_its_turn(run, lock)
        finally:
            # Free the lock before the run counts as ended: otherwise `is_elsewhere` could take it for the lock of another process.
            os.close(lock)
            run.end()

    def _in_its_turn(self, run: Run, lock: int) -> None:
        while not _taken(lock):
            if run.signals:
                run.problem = "stopped"
                return
            if not run.waits:
                run.waits = True
                run.say(f"{ELSEWHERE}; this process goes on with it if the other one ends")
            self._closed.wait(LOOK_SECONDS)
        if run.waits:
            # Another process may have brought it to its end meanwhile.
            record = self.shelf.get(run.record.id)
            if record is None or record.state != "running":
                return
            run.record, run.waits = record, False
        run.carry_out()

    def is_elsewhere(self, record: Record) -> bool:
        """Return whether another process of this folder carries the import out."""
        run = self._runs.get(record.id)
        if run is not None and not (run.ended or run.waits):
            return False
        try:
            lock = self._open_lock(record)
        except OSError:
            return False
        try:
            return not _taken(lock)
        finally:
            os.close(lock)

    def _open_lock(self, record: Record) -> int:
        return os.open(self.shelf.path(record, "lock"), os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW, 0o600)

    def _sweep(self) -> None:
        while True:
            try:
                for name in self.shelf.old():
                    log.info("web.import_dropped", batch_id=name)
                    self.drop(name)
            except OSError as error:
                # The folder can be read again later, and nobody else removes files whose time is over.
                log.warning("web.not_swept", problem=error.strerror)
            if self._closed.wait(SWEEP_SECONDS):
                return


def _taken(lock: int) -> bool:
    """Take a lock, if nobody else has it; return whether it is taken."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _folder(settings: Settings) -> Path:
    """Return the folder of the imports; a page for another Redis or under other prefixes has another.

    Raises:
        SettingsError: others could put files in their place.
    """
    try:
        return beats_folder(**settings.few) / "imports"
    except PermissionError as error:
        raise SettingsError([f"STATE_DIR: {error}"]) from None
