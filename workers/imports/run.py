"""One run of an import over one file: rows become jobs, some hundred in a step, and wrong rows are kept."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import redis

from config.keys import Keys
from delivery import Policy, batch_key, batch_life_ms, cancelled_field, is_cancelled, sizing
from workers.imports.contacts import ContactsFile
from workers.imports.first_lines import FirstLines
from workers.imports.kept_rows import KeptRows
from workers.imports.pace import BULK
from workers.imports.people import People, Person
from workers.imports.progress import BatchCancelled, Stopped, Tally, Watcher
from workers.producer import Enqueued, enqueue_all
from workers.redis_link import Patience, ThreadRunner

__all__ = ["ImportRun"]

#: Jobs enqueued in one step.
AT_ONCE = 500
#: How long an import waits for Redis if that goes away meanwhile, in seconds.
LONGEST_OUTAGE_SECONDS = 300.0


@dataclass(slots=True)
class ImportRun:
    """One run over one file."""

    #: None in a dry run: the rows are only checked.
    client: redis.Redis | None
    keys: Keys
    policy: Policy
    people: People
    tally: Tally
    watcher: Watcher
    #: The signals that have arrived.
    signals: Sequence[int]
    #: Who is in the group, in comparable form.
    present: FirstLines | None = None
    #: Is the batch this import's alone? Then, if the batch existed before, jobs that failed are not sent again, and people in the group
    #: only count as present if no job of the batch may have added them.
    alone: bool = False
    _goes_on: bool = False

    @property
    def batch_id(self) -> str:
        """Return the id of the batch."""
        return str(self.people.constant["batch_id"])

    def run(self, contacts: ContactsFile, refused: KeptRows) -> None:
        """Enqueue a job for each right row, and keep the wrong rows. At the end, write the size of the batch.

        A stopped import writes no size: it may go on later, and `batch.finished` is emitted only once. A cancelled one cannot go on; see
        `check_cancelled`.

        Raises:
            BatchCancelled: by an operator, before it began or meanwhile.
            Stopped: by a signal, or because Redis was away for too long.
            redis.RedisError: Redis could not be asked.
        """
        if self.client is not None:
            self._goes_on = bool(self.client.exists(batch_key(self.keys, self.batch_id)))
        self._enqueue_rows(contacts, refused)
        # Also if this run enqueued nobody: an earlier run may have enqueued everybody, and they are in the group by now.
        if self.client is not None and (self.tally.enqueued or self._goes_on):
            client = self.client
            self._patience().ask(lambda: self._tell_size(client))

    def _enqueue_rows(self, contacts: ContactsFile, refused: KeptRows) -> None:
        waiting: list[Person] = []
        for person in self.people.read(contacts):
            self.tally.rows += 1
            if person.problem is not None:
                rows = refused.add(person.row, person.problem)
                self.tally.refused += rows
                self.tally.rows += rows - 1
                self.watcher.refused(person.row.where, person.problem)
            elif person.first_line is not None:
                self.tally.repeated += 1
                self.watcher.repeated(person.row.where, person.first_line)
            elif self._is_present(person) and not (self.alone and self._goes_on):
                self.tally.present += 1
            else:
                waiting.append(person)
            if len(waiting) >= AT_ONCE or self.signals:
                self._enqueue(waiting)
                waiting.clear()
                self.tally.line = person.row.last_line
                self.watcher.read(contacts.position)
                if self.signals:
                    raise Stopped("stopped")
        self._enqueue(waiting)
        self.tally.ended = time.monotonic()
        self.watcher.read(contacts.size)

    def check_cancelled(self) -> None:
        """Raise BatchCancelled if the batch was cancelled. The batch gets no more jobs then, so its size is written first."""
        if self.client is None:
            return
        mark: Any = self.client.hget(self.keys.cancelled, cancelled_field(self.batch_id))
        if mark is None:
            return
        counts, clock = batch_key(self.keys, self.batch_id), self.client.time()
        counted, began_at, enqueued, told = self.client.hmget(counts, "id", "began_at", "enqueued", "told")
        now = clock[0] * 1000 + clock[1] / 1000
        if is_cancelled(mark, float(began_at or 0) if counted else now):
            # Not once the batch is finished: whenever the size is written the counts live longer, and with them the mark.
            if enqueued and not told:
                self._tell_size(self.client)
            raise BatchCancelled(self.batch_id)

    def _is_present(self, person: Person) -> bool:
        return self.present is not None and bool(self.present.line_of(person.needle))

    def _enqueue(self, people: list[Person]) -> None:
        """Enqueue the jobs of some people, and wait for Redis if it is away."""
        client = self.client
        if client is None or not people:
            return
        patience = self._patience()
        counted = (batch_key(self.keys, self.batch_id), self.batch_id, BULK, batch_life_ms(self.policy))
        try:
            patience.ask(self.check_cancelled)
            added: set[str] = set()
            if self.people.again or not (self.tally.enqueued or self._goes_on):
                added = patience.ask(lambda: self.people.added_before(client, self.keys, people))
            there = patience.ask(lambda: self._there_before(client, people))
            people = [person for person in people if person.needle not in there]
            messages = patience.ask(lambda: self._messages(client, people, added))
            patience.ask(lambda: enqueue_all(client, self.keys, messages, counted))
        except redis.RedisError:
            if not patience.is_away:
                raise
            why = (
                "stopped while Redis did not answer"
                if self.signals
                else f"Redis did not answer for {LONGEST_OUTAGE_SECONDS:g} s"
            )
            raise Stopped(why, redis_away=True) from None
        if not self.people.again:
            self.tally.added_before += len(added)
        self.tally.enqueued += len(people)
        self.tally.present += len(there)

    def _there_before(self, client: redis.Redis, people: list[Person]) -> set[str]:
        """Return which of these people are in the group, and have no job in the batch that may have added them."""
        there = [person for person in people if self._is_present(person)]
        if not there:
            return set()
        ids = [self.people.message_id(person) for person in there]
        # In this order: a job is answered before it leaves its queue, so one of the two looks finds it.
        waiting: Any = client.hmget(self.keys.queue(BULK).bodies, ids)
        states = self.people.states(client, self.keys, there)
        return {
            person.needle
            for person, body, state in zip(there, waiting, states, strict=True)
            if body is None and state.word == "open"
        }

    def _messages(self, client: redis.Redis, people: list[Person], added: set[str]) -> list[Enqueued]:
        """Return the jobs to enqueue: all. In a batch that existed before: those not answered; also those that failed, unless ``alone``."""
        if self._goes_on:
            states = self.people.states(client, self.keys, people)
            ids = {
                person.needle: state.message_id
                for person, state in zip(people, states, strict=True)
                if state.word == "open" or (state.word == "failed" and not self.alone)
            }
        else:
            ids = {person.needle: self.people.message_id(person) for person in people}
        return [
            self.people.message(person, ids[person.needle], anew=self.people.again and person.needle in added)
            for person in people
            if person.needle in ids
        ]

    def _tell_size(self, client: redis.Redis) -> None:
        ThreadRunner(client).run(*sizing(self.keys, self.policy, self.batch_id, 0))

    def _patience(self) -> Patience:
        return Patience(self.watcher.say, lambda away: bool(self.signals) or away > LONGEST_OUTAGE_SECONDS)
