"""Dead letters as an operator handles them: listed page by page, found by message id, retried and purged in one step each."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import orjson
import redis

from actors import JOBS, key_of
from actors.event_data import ERROR_KINDS
from config.keys import Keys
from config.moments import rfc3339
from delivery import forgetting, keeping, retried_as
from workers.answers import kept_ms
from workers.broker.entries import LATEST, Unreadable, read_entry, read_exactly
from workers.broker.scripts import SCRIPTS
from workers.redis_link import ThreadRunner

__all__ = ["LETTER_KINDS", "DeadLetter", "DeadLetters", "NotRetried", "Place", "readable"]

#: Why a letter is dead: the kinds of failure, and the one for an entry that was no readable job.
LETTER_KINDS = (*ERROR_KINDS, "unreadable")
#: Letters read in one round trip.
PAGE = 500
#: The same, when the newest letters of each queue are shown.
LOOK = 50
#: Where reading backwards has come to: the time of the last letter (ms), and how many letters of that time were passed.
Place = tuple[float, int]
_HOMES = {name: (job.queue, *job.also) for name, job in JOBS.items()}


def readable(body: bytes) -> Any:
    """Return the message as enqueued; as text if it is no JSON, or cannot be written as JSON again: too deep, or a number too long."""
    try:
        message = read_exactly(body)
        orjson.dumps({"body": message})
    except (ValueError, RecursionError, orjson.JSONEncodeError):
        return body.decode("utf-8", "replace")
    return message


def _reason(text: bytes | None) -> dict[str, Any] | None:
    """Return why a letter is dead; None if no reason is on record, or none that can be read."""
    try:
        told: dict[str, Any] = orjson.loads(text or b"")
    except orjson.JSONDecodeError:
        return None
    match told:
        case {"message_id": str(), "job": str(), "kind": str(), "message": str()}:
            if isinstance(told.get("code"), int | None) and isinstance(told.get("batch_id"), str | None):
                return told
    return None


class NotRetried(Exception):  # noqa: N818 - says what did not happen
    """The letter cannot become a job again; it was left as it is."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One letter, without its body."""

    queue: str
    #: The letter's id in Redis; also its name if no message id can be read.
    entry_id: bytes
    message_id: str
    job: str
    kind: str
    code: int | None
    message: str
    died_at: str
    #: The batch that its job belonged to.
    batch_id: str | None = None

    @property
    def id(self) -> str:
        """The id by which an operator names the letter."""
        return self.message_id or self.entry_id.decode("utf-8", "replace")


class DeadLetters:
    """The dead letters of some queues. Every method raises redis.RedisError when Redis cannot be asked."""

    def __init__(
        self,
        client: redis.Redis,
        keys: Keys,
        queues: Iterable[str],
        *,
        kind: str | None = None,
        batch_id: str | None = None,
    ) -> None:
        """With ``kind`` or ``batch_id``, all other letters are left out."""
        self._client = client
        self._kind = kind
        self._batch_id = batch_id
        self._runner = ThreadRunner(client)
        self._keys = keys
        self._queues = list(queues)

    def now(self) -> float:
        """Return the time by Redis's clock, which dates the letters, in Unix milliseconds."""
        seconds, micros = self._client.time()
        return float(seconds * 1000 + micros / 1000)

    def count(self) -> int:
        """Return how many letters there are."""
        if self._kind or self._batch_id:
            return sum(1 for _ in self.oldest_first())
        return sum(int(self._client.zcard(self._keys.queue(name).dead)) for name in self._queues)

    def oldest_first(self) -> Iterator[DeadLetter]:
        """Yield every letter, queue by queue. It reads page by page, so when letters go meanwhile, others may be missed."""
        for name in self._queues:
            start = 0
            while True:
                page: Any = self._client.zrange(
                    self._keys.queue(name).dead, start, start + PAGE - 1, withscores=True
                )
                if not page:
                    break
                yield from self._read(name, page)
                start += len(page)

    def that_died_before(self, moment_ms: float) -> Iterator[list[DeadLetter]]:
        """Yield pages of all letters that died by then, each letter at least once, whatever is retried or purged meanwhile."""
        for name in self._queues:
            cursor = 0
            while True:
                answer: Any = self._client.zscan(self._keys.queue(name).dead, cursor, count=PAGE)
                cursor, page = answer
                old = sorted((at, entry_id) for entry_id, at in page if at <= moment_ms)
                for begin in range(0, len(old), PAGE):
                    rows = [(entry_id, at) for at, entry_id in old[begin : begin + PAGE]]
                    yield self._read(name, rows)
                if not cursor:
                    break

    def newest_first(
        self, *, until: Place, since_ms: float = 0, most: int, most_read: int
    ) -> tuple[list[DeadLetter], Place | None]:
        """Return at most ``most`` letters that died from ``since_ms`` to ``until``, and where to go on; None at the end.

        No more than ``most_read`` letters are read, however few of them are of the kind or batch that is wanted.
        """
        begin, skip = until
        found: list[DeadLetter] = []
        read, at, passed = 0, begin, 0
        every = heapq.merge(
            *(self._backwards(name, begin, since_ms) for name in self._queues),
            key=lambda one: one[0],
            reverse=True,
        )
        for died, letter in every:
            passed = passed + 1 if died == at else 1
            at = died
            if died == begin and passed <= skip:
                continue
            read += 1
            if self._is_wanted(letter):
                found.append(letter)
            if len(found) == most or read == most_read:
                return found, (at, passed)
        return found, None

    def _backwards(self, name: str, until_ms: float, since_ms: float) -> Iterator[tuple[float, DeadLetter]]:
        """Yield every letter of a queue that died between these moments, the newest first, with its time."""
        begin, seen = until_ms, 0
        while True:
            page: Any = self._client.zrevrangebyscore(
                self._keys.queue(name).dead, begin, since_ms, start=seen, num=LOOK, withscores=True
            )
            if not page:
                return
            letters = self._read_all(name, page)
            yield from ((died, letter) for (_, died), letter in zip(page, letters, strict=True))
            last = page[-1][1]
            seen = sum(died == last for _, died in page) + (seen if last == begin else 0)
            begin = last

    def at(self, queue: str, entry_id: bytes) -> DeadLetter | None:
        """Return the letter of this queue and id; None if it is gone."""
        died: Any = self._client.zscore(self._keys.queue(queue).dead, entry_id)
        return None if died is None else self._read_all(queue, [(entry_id, float(died))])[0]

    def find(self, wanted: Iterable[str]) -> dict[str, list[DeadLetter]]:
        """Return the letters with these message ids (or ids in Redis); reads the reasons of all letters once, page by page."""
        found: dict[str, list[DeadLetter]] = {one: [] for one in wanted}
        for page in self.that_died_before(float("inf")):
            for letter in page:
                for name in {letter.message_id, letter.entry_id.decode("utf-8", "replace")} & found.keys():
                    if letter not in found[name]:
                        found[name].append(letter)
        return found

    def of_batch(self, batch_id: str) -> Iterator[tuple[DeadLetter, bytes]]:
        """Yield the letters of a batch, each with its message."""
        for letter in self.oldest_first():
            if letter.batch_id == batch_id and (body := self.body(letter)) is not None:
                yield letter, body

    def body(self, letter: DeadLetter) -> bytes | None:
        """Return the message as it was enqueued; None if the letter is gone."""
        body: Any = self._client.hget(self._keys.queue(letter.queue).dead_bodies, letter.entry_id)
        return None if body is None else bytes(body)

    def retry(self, letter: DeadLetter, *, anew: bool) -> str | None:
        """Enqueue the letter's job again and remove the letter, in one step. Return the new message id, None if the letter is gone.

        The idempotency key, the correlation id and all arguments but the batch and `reply_to` stay; a new id and time make it a new
        message with a deadline of its own. With ``anew``, a job that ended as unknown calls the API without reading back first.

        Raises:
            NotRetried: it cannot become a job again; the message says why.
        """
        body = self.body(letter)
        if body is None:
            return None
        try:
            entry = read_entry(letter.queue, letter.entry_id.decode("utf-8", "replace"), body, _HOMES)
        except Unreadable as error:
            raise NotRetried(f"is no readable job and cannot be retried: {error}") from None
        message = read_exactly(body)
        message_id = retried_as(message["message_id"], letter.entry_id)
        queue = self._keys.queue(letter.queue)
        # An import whose batch's id is used again uses its message ids again, too. Under an id that waits, or that was answered, nothing
        # would be carried out.
        while kept_ms(self._client, self._keys, message_id) > 0 or self._client.hexists(
            queue.bodies, message_id
        ):
            message_id = retried_as(message_id, letter.entry_id)
        options = {name: value for name, value in message["options"].items() if name != "eta"}
        # The job has left its batch, and no caller waits for its answer any more; but whoever waits for the first id learns of it.
        gone = ("batch_id", "batch_size", "reply_to")
        options.setdefault("original_id", message["message_id"])
        message |= {
            "queue_name": letter.queue,
            "kwargs": {name: value for name, value in message["kwargs"].items() if name not in gone},
            "options": {**options, "redis_message_id": message_id},
            "message_id": message_id,
            # Redis's clock judges the deadline. By the clock of a host that is hours behind, the job would expire at once.
            "message_timestamp": int(self.now()),
        }
        try:
            again = orjson.dumps(message)
        except orjson.JSONEncodeError:
            raise NotRetried(
                "is nested too deeply, or holds a number of more than 64 bits, and cannot be written again"
            ) from None
        if key := key_of(entry.actor_name, entry.kwargs):
            told = forgetting if anew else keeping
            self._runner.run(*told(self._keys, entry.actor_name, key))
        revived = self._runner.run(
            SCRIPTS["revive"],
            [queue.dead, queue.dead_bodies, queue.dead_reasons, queue.ready, queue.bodies],
            [letter.entry_id, message_id, again],
        )
        return message_id if revived else None

    def purge(self, letters: list[DeadLetter]) -> int:
        """Remove the letters of one page. Return how many of them there still were."""
        purged = 0
        for name in self._queues:
            queue = self._keys.queue(name)
            ids = [letter.entry_id for letter in letters if letter.queue == name]
            if ids:
                purged += self._runner.run(
                    SCRIPTS["purge"], [queue.dead, queue.dead_bodies, queue.dead_reasons], ids
                )
        return purged

    def _read(self, name: str, page: list[tuple[bytes, float]]) -> list[DeadLetter]:
        return [letter for letter in self._read_all(name, page) if self._is_wanted(letter)]

    def _is_wanted(self, letter: DeadLetter) -> bool:
        return self._kind in {None, letter.kind} and self._batch_id in {None, letter.batch_id}

    def _read_all(self, name: str, page: list[tuple[bytes, float]]) -> list[DeadLetter]:
        queue = self._keys.queue(name)
        ids: list[Any] = [entry_id for entry_id, _ in page]
        reasons: Any = self._client.hmget(queue.dead_reasons, ids)
        return [
            self._letter(name, entry_id, died, reason)
            for (entry_id, died), reason in zip(page, reasons, strict=True)
        ]

    def _letter(self, name: str, entry_id: bytes, died: float, reason: bytes | None) -> DeadLetter:
        told = _reason(reason) or self._from_body(name, entry_id)
        return DeadLetter(
            queue=name,
            entry_id=entry_id,
            message_id=told["message_id"],
            job=told["job"],
            kind=told["kind"],
            code=told.get("code"),
            message=told["message"],
            # Other programs may write any number as a time of death. One that is no time must not hide the other letters.
            died_at=rfc3339(min(max(died, 0), LATEST)),
            batch_id=told.get("batch_id"),
        )

    def _from_body(self, name: str, entry_id: bytes) -> dict[str, Any]:
        """Return what the message itself shows of a letter without a reason: a stock worker left it."""
        told: dict[str, Any] = {"kind": "unreadable", "code": None, "message": "no reason is on record"}
        body: Any = self._client.hget(self._keys.queue(name).dead_bodies, entry_id)
        try:
            message = read_entry(name, entry_id.decode("utf-8", "replace"), body, _HOMES)
        except Unreadable as error:
            return {**told, "message_id": "", "job": "", "message": f"no reason is on record; {error}"}
        return {**told, "kind": "internal", "message_id": message.message_id, "job": message.actor_name}
