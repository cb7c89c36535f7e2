"""Checks a worker's Redis, key names and account before it takes jobs, and its key names again at each heartbeat."""

from __future__ import annotations

import dataclasses
from typing import Any

import orjson
from redis.exceptions import NoPermissionError

from config.keys import Keys
from workers.broker.durable import DurableBroker
from workers.broker.scripts import SCRIPTS
from workers.redis_link import ThreadRunner

__all__ = ["FORMS", "Enrolment", "Refused"]

#: The forms of stored data that this release reads; the last is its own. Data stored before forms had numbers has form 1; from form 3 on,
#: a success leaves only a small mark (``delivery.answer.SMALL_FORM``).
FORMS = (1, 2, 3)
#: How many times to look: another pair may take the key names over at the same moment as this one.
LOOKS = 5


class Refused(Exception):  # noqa: N818 - named for what happened
    """This worker may not take jobs here, and another start would not change that. The message is a sentence for the operator."""


class Enrolment:
    """Registers a worker, unless with its settings it would take the jobs of others.

    A second prefix on one namespace (or the other way round) would lose delayed jobs, and a worker of another account would carry out
    jobs that are not its own.
    """

    def __init__(self, broker: DurableBroker) -> None:
        self._broker = broker
        self._keys = broker.keys
        self._client = broker.client
        self._runner = ThreadRunner(broker.client)

    def begin(self) -> None:
        """Register the worker before it takes its first job.

        Raises:
            Refused: with a sentence.
            redis.RedisError: Redis could not be asked.
        """
        self._refuse_cluster()
        self._enrol(starts=True)

    def renew(self) -> None:
        """Check again while the worker runs: others may have taken over its key names while it was frozen. Raises as `begin` does."""
        self._enrol(starts=False)

    def _refuse_cluster(self) -> None:
        try:
            mode = self._client.info("server").get("redis_mode")
        except NoPermissionError:
            return
        if mode == "cluster":
            raise Refused(
                "REDIS_URL: this Redis runs in cluster mode, which is not supported: a job's way from queue to event is one script over "
                "keys that must live together"
            )

    def _enrol(self, *, starts: bool) -> None:
        keys = self._keys
        dead_prefix = dead_namespace = ""
        for _ in range(LOOKS):
            word, *told = self._run(dead_prefix, dead_namespace, starts=starts)
            match word:
                case b"ok":
                    self._broker.form = int(told[0])
                    return
                case b"namespace":
                    dead_prefix = told[0].decode()
                    self._refuse_if_it_lives(keys.prefix_of, dead_prefix, keys.namespace)
                case b"prefix":
                    dead_namespace = told[0].decode()
                    self._refuse_if_it_lives(keys.namespace_of, keys.prefix, dead_namespace)
                case b"format":
                    raise Refused(
                        f"KEY_PREFIX: what is stored has form {told[0].decode()}, as the key {keys.format} says; this release reads "
                        f"{min(FORMS)} to {max(FORMS)}"
                    )
                case _:
                    raise Refused(
                        f"COUPONTOOLS_BASE_URL, COUPONTOOLS_CLIENT_ID: worker {told[0].decode()} works for another account under "
                        f"the same BROKER_NAMESPACE {keys.namespace} and KEY_PREFIX {keys.prefix}, as the key {keys.workers} says"
                    )
        raise Refused(
            f"BROKER_NAMESPACE, KEY_PREFIX: others take {keys.namespace} and {keys.prefix} again and again, as the keys {keys.prefix_of} "
            f"and {keys.namespace_of} say"
        )

    def _run(self, dead_prefix: str, dead_namespace: str, *, starts: bool) -> list[Any]:
        keys, broker = self._keys, self._broker
        told: list[Any] = self._runner.run(
            SCRIPTS["enrol"],
            [keys.prefix_of, keys.namespace_of, keys.heartbeats, keys.workers, keys.format],
            [
                keys.namespace,
                keys.prefix,
                dead_prefix,
                dead_namespace,
                broker.broker_id,
                broker.about,
                keys.account,
                int(starts),
                min(FORMS),
                max(FORMS),
            ],
        )
        return told

    def _refuse_if_it_lives(self, key: str, prefix: str, namespace: str) -> None:
        try:
            lives = self._lives(dataclasses.replace(self._keys, prefix=prefix, namespace=namespace))
        except NoPermissionError:
            # This Redis user may not read the keys of that pair: take it for living.
            lives = True
        if lives:
            raise Refused(
                f"BROKER_NAMESPACE, KEY_PREFIX: {self._keys.namespace} and {self._keys.prefix} do not belong together: the key {key} "
                f"names {namespace} and {prefix}, where a worker lives or work waits"
            )

    def _lives(self, pair: Keys) -> bool:
        """Return whether a worker of this pair lives, or jobs of it wait."""
        owner: Any = self._client.get(pair.prefix_of)
        if owner is None or owner.decode() != pair.prefix:
            # The namespace has gone to another prefix since.
            return False
        queues = [pair.queue(name) for name in self._broker.get_declared_queues()]
        with self._client.pipeline(transaction=False) as pipeline:
            for queue in queues:
                pipeline.hlen(queue.bodies)
                pipeline.hlen(queue.stock_delayed_bodies)
            waiting = sum(pipeline.execute())
        return bool(waiting) or self._has_workers(pair)

    def _has_workers(self, pair: Keys) -> bool:
        seconds, micros = self._client.time()
        now = seconds * 1000 + micros / 1000
        seen: Any = self._client.zrange(pair.heartbeats, 0, -1, withscores=True)
        told: Any = self._client.hgetall(pair.workers)
        return any(worker in told and at > now - _silence(told[worker]) for worker, at in seen)


def _silence(about: bytes) -> float:
    """Return how many milliseconds of silence mean that a worker is dead, by its own description."""
    try:
        return float(orjson.loads(about)["silence_ms"])
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
        return 0.0
