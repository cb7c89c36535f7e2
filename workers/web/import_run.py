"""One pass over an uploaded file in a thread of its own: a check, which enqueues nothing, or the import itself."""

from __future__ import annotations

import threading
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

import redis
import structlog

from actors import JOBS, InvalidJob
from config import Settings
from config.keys import Keys
from delivery import batch_key
from delivery.task import short_digest
from workers.imports import (
    Answers,
    ContactsFile,
    Import,
    ImportTime,
    KeptRows,
    NotAnswered,
    NotListed,
    People,
    Stopped,
    Tally,
    UnusableFile,
    WrongOption,
    answers_of,
    constant_arguments,
    country_of_numbers,
)
from workers.redis_link import Patience, trouble_of
from workers.web.import_shelf import Record, Shelf

__all__ = ["FAILED", "LOOK_SECONDS", "REFUSED", "Run", "check_group_name", "open_contacts"]

log = structlog.get_logger("workers.web")

REFUSED: Final = "refused.csv"
FAILED: Final = "failed.csv"
#: Wrong rows that are shown; the file of refused rows has them all.
SHOWN_ROWS: Final = 20
SHOWN_SENTENCES: Final = 5
#: How often a run that waits for its turn looks whether it is to stop, in seconds.
LOOK_SECONDS: Final = 0.5


def open_contacts(record: Record, shelf: Shelf) -> ContactsFile:
    """Open an uploaded file with the columns and the country that were chosen.

    Raises:
        UnusableFile: the file cannot be read with them.
        WrongOption: there is no such country.
        OSError: the file is not there any more.
    """
    return ContactsFile(
        shelf.file(record),
        record.channel,
        country=country_of_numbers(record.chosen.get("country") or None, record.channel),
        columns={name: holds for name, holds in record.columns.items() if holds},
    )


@dataclass(slots=True)
class Run:
    """One pass over one file, under way or ended; it watches its import. Pages read it while its thread writes."""

    settings: Settings
    client: redis.Redis
    shelf: Shelf
    record: Record
    #: Held while the file is read: reading more files at a time would only take longer.
    reading: threading.Semaphore
    check: bool = False
    #: Does it wait for a Redis that is away? A run that goes on after a restart does: Redis may be starting, too.
    patient: bool = False
    #: The pass over the same file that must have ended before this one begins.
    after: Run | None = None
    tally: Tally = field(default_factory=Tally)
    wrong: list[tuple[str, str]] = field(default_factory=list)
    sentences: deque[str] = field(default_factory=lambda: deque(maxlen=SHOWN_SENTENCES))
    position: int = 0
    size: int = 0
    problem: str = ""
    #: Is the file read to its end, and are its answers followed?
    followed: bool = False
    #: The run stops as soon as anything is in this list.
    signals: list[int] = field(default_factory=list)
    #: Does it wait because another process carries the import out?
    waits: bool = False
    #: Does it leave the record alone when it stops? The next process goes on with the import, or its files were dropped.
    closing: bool = False
    _ended: threading.Event = field(default_factory=threading.Event)
    _is_reading: bool = False
    #: Held while the record is written that says that the run stopped before its end.
    _stopping: threading.Lock = field(default_factory=threading.Lock)
    _is_stopped: bool = False

    @property
    def stopped(self) -> bool:
        """Return whether its record says that it stopped before its end: it can be begun again, although its thread has not ended yet."""
        with self._stopping:
            return self._is_stopped

    @property
    def ended(self) -> bool:
        """Return whether the run has ended."""
        return self._ended.is_set()

    def wait_ended(self, seconds: float) -> bool:
        """Wait at most this long for the run to end; return whether it has ended."""
        return self._ended.wait(seconds)

    def end(self, problem: str = "") -> None:
        """Note that the run has ended, and the problem if there was one."""
        self.problem = problem or self.problem
        self._ended.set()

    def read(self, position: int) -> None:
        """Note how many bytes of the file are done."""
        self.position = position
        if self.tally.enqueued and not self.record.began:
            self.record.began = True
            self.shelf.save(self.record)

    def refused(self, where: str, problem: str) -> None:
        """Note a row that is left out, and why."""
        if len(self.wrong) < SHOWN_ROWS:
            self.wrong.append((where, problem))

    def repeated(self, where: str, first: int) -> None:
        """Note a row whose contact the file has already, in an earlier line."""
        self.refused(where, f"the same contact as in line {first}; not added twice")

    def answered(self, answers: Answers) -> None:
        """Note that answers are followed: the file has been read to its end."""
        del answers
        if not self.followed:
            self._end_reading()
            self._note_counts()
            self.followed = True

    def say(self, text: str) -> None:
        """Show a message for people."""
        self.sentences.append(text)

    def carry_out(self) -> None:
        """Carry out the pass, and write to the record how it ended. Errors of the import are noted there and not raised.

        The caller calls `end` afterwards.
        """
        try:
            self._carry_out()
        except (UnusableFile, WrongOption, NotListed, NotAnswered, Stopped) as error:
            self._stop(str(error))
        except OSError as error:
            self._stop(f"the file cannot be read, or no file can be written beside it: {error.strerror}")
        except redis.RedisError as error:
            self._stop(trouble_of(error))
        except Exception:
            log.exception("web.failed", path="/imports", batch_id=self.record.id)
            self._stop("a fault of ours; the log of `coupontools-worker web` says more")
        finally:
            self._end_reading()

    def wait_for_the_one_before(self) -> None:
        """Wait until an earlier pass over this file has ended. If this one is told to stop, wait only for one that is stopping."""
        while self.after is not None and not (self.signals and not self.after.stopped):
            if self.after.wait_ended(LOOK_SECONDS):
                self.after = None

    def _carry_out(self) -> None:
        self.wait_for_the_one_before()
        if self.patient:
            Patience(self.say, lambda _: bool(self.signals)).ask(self.client.ping)
        while not (self._is_reading or self.signals):
            self._is_reading = self.reading.acquire(timeout=LOOK_SECONDS)
        if self.signals:
            raise Stopped("stopped")
        # Remove an earlier pass's files: this pass refuses the same rows again.
        for name in (REFUSED, FAILED):
            self.shelf.path(self.record, name).unlink(missing_ok=True)
        with (
            open_contacts(self.record, self.shelf) as contacts,
            KeptRows(self.shelf.path(self.record, REFUSED), contacts.columns) as refused,
        ):
            self.size = contacts.size
            if not self.check:
                self._settle_group()
            group = self.record.group_id or "gro_1"
            constant = constant_arguments(
                channel=self.record.channel, group_id=group, batch_id=self.record.id
            )
            client = None if self.check else self.client
            pace = ImportTime.of(self.settings, client, contacts.most_rows, None)
            again = self.record.chosen.get("present") == "again"
            whole = Import(
                client,
                self.settings,
                People(constant | pace.arguments, again=again),
                list_first=again or self.record.chosen.get("present") == "skip",
                wait=not self.check,
                goes_on=True,
                failed_path=lambda: self.shelf.path(self.record, FAILED),
                tally=self.tally,
            )
            whole.carry_out(contacts, refused, self, self.signals)
        self._note_counts()
        if not self.check:
            self.record.state, self.record.why = "done", ""
            self.shelf.save(self.record)
            log.info("web.import_ended", batch_id=self.record.id, **self.record.counts)

    def _settle_group(self) -> None:
        """Create the group, if a new one was asked for. Its key makes that one group of this name, however often the import is begun."""
        chosen = self.record.chosen
        name = chosen.get("new_group")
        if self.record.group_id or not name:
            self.record.group_id = (
                self.record.group_id or chosen.get("listed") or chosen.get("group_id") or ""
            )
        else:
            asked = {
                "channel": self.record.channel,
                "name": name,
                "idempotency_key": f"import-{self.record.id}-{short_digest(name)}",
            }
            try:
                for answer in answers_of(
                    self.client, self.settings, "create_group", asked, say=self.say, signals=self.signals
                ):
                    self.record.group_id = answer["group_id"]
            except Stopped:
                raise Stopped(
                    f"stopped before it was known whether the group {name} was created; it may still be created, and if this import is "
                    "begun again with the same name, it uses that group"
                ) from None
        self.shelf.save(self.record)

    def _note_counts(self) -> None:
        tally = self.tally
        names = ("rows", "enqueued", "refused", "repeated", "present")
        self.record.counts = {name: getattr(tally, name) for name in names}
        if not self.check:
            self.shelf.save(self.record)

    def _stop(self, why: str) -> None:
        self.problem = why
        if self.check or self.closing:
            return
        # If nothing was enqueued, by this pass or an earlier one, every choice can still be changed.
        told = self.record.began or self.tally.enqueued or self.record.counts.get("enqueued")
        began = told or self._is_counted()
        self.record.state, self.record.why = "stopped" if began else "draft", why
        with self._stopping:
            self.shelf.save(self.record)
            self._is_stopped = True
        log.info("web.import_stopped", batch_id=self.record.id, problem=why)

    def _is_counted(self) -> bool:
        """Return whether its batch has any job: a process that enqueued some may have been killed before it could write that down."""
        with suppress(redis.RedisError):
            return bool(self.client.exists(batch_key(Keys.of(self.settings), self.record.id)))
        return False

    def _end_reading(self) -> None:
        if self._is_reading:
            self._is_reading = False
            self.reading.release()


def check_group_name(channel: str, name: str) -> None:
    """Raise WrongOption if no group can have this name."""
    try:
        JOBS["create_group"].parse({"channel": channel, "name": name})
    except InvalidJob as error:
        raise WrongOption("new_group", error.problems[0].message) from None
