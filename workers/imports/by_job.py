"""Ask the API by a job, so that the account's pace and holds apply to the question, too."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

import orjson
import redis

from actors import JOBS
from config import Settings
from config.keys import Keys
from workers.imports.progress import Stopped
from workers.producer import enqueue_all, job_message
from workers.redis_link import Patience
from workers.redis_state import read_redis
from workers.worker_list import read_workers

__all__ = ["NotAnswered", "answers_of"]

#: How long one look for the next answer waits, in seconds.
LOOK_SECONDS: Final = 1
#: After how many looks without an answer a hint is given.
HINT_AFTER: Final = 10


class NotAnswered(Exception):  # noqa: N818 - says what happened to the question
    """No worker takes the job, or it failed; the message says why, without a subject."""


def answers_of(
    client: redis.Redis,
    settings: Settings,
    job: str,
    arguments: Mapping[str, Any],
    *,
    say: Callable[[str], None],
    signals: Sequence[int],
) -> Iterator[dict[str, Any]]:
    """Enqueue a job, and yield the data of its answer; of a listing, each page once.

    Raises:
        NotAnswered: no worker runs that takes it, or it failed.
        Stopped: by a signal; the job goes on.
        redis.RedisError: Redis could not be asked.
    """
    keys = Keys.of(settings)
    workers = read_workers(client, settings)
    if not any(worker.lives and JOBS[job].queue in worker.queues for worker in workers):
        # While Redis takes no writes, no worker can write its heartbeat, and a living one looks dead.
        if not (state := read_redis(client, keys)).writable:
            raise NotAnswered(state.problems[0])
        raise NotAnswered("no worker runs that takes such jobs; start one: coupontools-worker run")
    reply = f"import-{uuid.uuid4()}"
    message = job_message(job, {**arguments, "reply_to": reply})
    patience = Patience(say, lambda _: bool(signals))
    patience.ask(lambda: enqueue_all(client, keys, [message]))
    told: set[int] = set()
    looks = 0
    while True:
        answer: Any = patience.ask(lambda: client.blpop([keys.reply(reply)], timeout=LOOK_SECONDS))
        if signals:
            raise Stopped("stopped")
        if answer is None:
            looks += 1
            if looks == HINT_AFTER:
                say("no answer yet; `coupontools-worker status` shows what waits, and why")
            continue
        data = orjson.loads(answer[1])["data"]
        if "error" in data:
            error = data["error"]
            raise NotAnswered(f"{error['kind']}: {error['message']}")
        page = data.get("page", 1)
        if page not in told:
            told.add(page)
            yield data
        if len(told) == data.get("pages", 1):
            return
