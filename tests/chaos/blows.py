"""The blows: each is a method. A blow against a process or Redis mends what it broke; a fault of the API lasts while other blows fall."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from random import Random

import redis

from tests.chaos.load import Load
from tests.chaos.standby import Standby
from tests.harness import House
from tests.harness.house import RunningWorker
from tests.harness.refusals import Refusals

#: The commands that the workers' Redis user may be refused, one at a time: all that the project's scripts and connections send.
COMMANDS = (
    "del", "eval", "evalsha", "exists", "get", "getex", "hdel", "hexists", "hget", "hgetall", "hincrby", "hlen", "hmget", "hset", "hsetnx",
    "hstrlen", "llen", "lpush", "lrange", "lrem", "ltrim", "pexpire", "pttl", "rpush", "sadd", "scard", "script", "set", "sismember",
    "smembers", "srem", "time", "xadd", "zadd", "zcard", "zcount", "zrange", "zrangebyscore", "zrem", "zremrangebyrank",
    "zremrangebyscore", "zscore",
)  # fmt: skip
WIRE_FAULTS = [
    {"kind": "close_before"},
    {"kind": "close_after"},
    {"kind": "reset", "carry_out": True},
    {"kind": "cut_off"},
    {"kind": "bad_gateway", "carry_out": True},
    {"kind": "bad_gateway"},
    {"kind": "empty", "carry_out": True},
    {"kind": "html"},
]
#: Nothing has been released yet, so a commit stands for the previous release: the first commit that can read the form of stored data
#: that this one writes. Once all living workers read that form, an older worker may not start; tests/workers/test_versions.py tests that.
OLDER = "80031974b29deccd7bcc67a9eba808f5a113e8d6"
SETTINGS = {
    # Without this setting, a failover doubles the calls that were sent within the replica's lag; see docs/guarantees.md.
    "REDIS_WAIT_REPLICAS": 1,
    "WORKER_HEARTBEAT_SECONDS": 2,
    "WORKER_PROCESSES": 2,
    "WORKER_CONCURRENCY": 16,
    "COUPONTOOLS_TIMEOUT_SECONDS": 2,
    "READ_BACK_AFTER_SECONDS": 2,
}


class Blows:
    """The blows against one house with two workers."""

    def __init__(self, house: House, draw: Random, load: Load, standby: Standby, older: Path | None) -> None:
        self._house = house
        self._standby = standby
        self._older = older
        self._draw = draw
        self._load = load
        self._refusals = Refusals(house.redis, house.server.port)
        self._refusals.__enter__()
        self._workers = [self._start(), self._start()]
        self.all: tuple[Callable[[], None], ...] = (
            self.kill_a_process,
            self.kill_a_worker,
            self.freeze_a_process,
            self.restart_a_worker,
            self.kill_redis,
            self.fail_over,
            self.freeze_redis,
            self.fill_redis,
            self.disconnect,
            self.refuse_a_command,
            self.refuse_a_command,
            self.spoil_calls,
            self.hang_calls,
            self.limit_calls,
            self.dress_listings,
            self.refuse_the_account,
            self.calm,
            self.calm,
            self.calm,
            self.flood,
            self.cancel_a_batch,
            self.pause,
        )

    def draw(self) -> Callable[[], None]:
        """Return the next blow, after a short pause."""
        time.sleep(self._draw.random())
        return self._draw.choice(self.all)

    def close(self) -> None:
        """Remove all faults, and make sure that two workers run."""
        self._house.sandbox.clear_faults()
        self._refusals.__enter__()
        self._house.run_process("resume", "--scope", "sms")
        for at, worker in enumerate(self._workers):
            if worker.process.poll() is not None:
                self._workers[at] = self._start()

    def _start(self) -> RunningWorker:
        project = self._older if self._draw.random() < 1 / 3 else None
        return self._house.worker(wait=False, project=project, REDIS_URL=self._refusals.url, **SETTINGS)

    def _seconds(self, most: float = 3.0) -> None:
        """Wait while a blow lasts."""
        time.sleep(0.3 + self._draw.random() * most)

    def _process(self) -> int | None:
        children = [pid for worker in self._workers for pid in worker.children()]
        return self._draw.choice(children) if children else None

    def kill_a_process(self) -> None:
        if pid := self._process():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def freeze_a_process(self) -> None:
        if pid := self._process():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)
            self._seconds(6)
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

    def kill_a_worker(self) -> None:
        at = self._draw.randrange(2)
        self._workers[at].kill()
        self._workers[at] = self._start()

    def restart_a_worker(self) -> None:
        at = self._draw.randrange(2)
        code = self._workers[at].terminate()
        # Before its first log line, a worker may not handle the signal yet, and has nothing in hand.
        assert code == 0 or not self._workers[at].log_text, f"a worker told to stop ended with {code}"
        self._workers[at] = self._start()

    def kill_redis(self) -> None:
        self._house.server.kill()
        self._seconds()
        self._house.server.start()
        # The workers' Redis user was made at run time, so the restarted server does not have it.
        self._refusals.__enter__()

    def fail_over(self) -> None:
        self._standby.take_over(self._draw.random())
        self._refusals.__enter__()

    def freeze_redis(self) -> None:
        process = self._house.server.process
        assert process
        process.send_signal(signal.SIGSTOP)
        self._seconds(5)
        process.send_signal(signal.SIGCONT)

    def fill_redis(self) -> None:
        self._house.redis.config_set("maxmemory", "1mb")
        self._seconds()
        self._house.redis.config_set("maxmemory", "0")

    def disconnect(self) -> None:
        with suppress(redis.RedisError):
            self._house.redis.execute_command("CLIENT", "KILL", "TYPE", "normal")

    def refuse_a_command(self) -> None:
        with self._refusals.refused(self._draw.choice(COMMANDS)):
            self._seconds(1.5)

    def calm(self) -> None:
        self._house.sandbox.clear_faults()

    def spoil_calls(self) -> None:
        self._fault("mixed", kinds=WIRE_FAULTS, probability=0.4)

    def hang_calls(self) -> None:
        self._fault(self._draw.choice(["hang_before", "hang_after"]), probability=0.3)

    def limit_calls(self) -> None:
        self._fault("rate_limited", probability=0.3, retry_after=1)

    def dress_listings(self) -> None:
        shape = self._draw.choice(
            ["masked", "national", "repeated_row", "null_id", "numbered_rows", "other_group", "missing_row"]
        )
        self._fault("shaped", shapes=[shape], endpoint=["sms/userlist", "email/userlist"])

    def refuse_the_account(self) -> None:
        self._fault("account_error", code=self._draw.choice([1000, 101, 103]))

    def _fault(self, kind: str, **parameters: object) -> None:
        """Give the API this fault. It lasts while other blows fall, until one of them changes the API's faults."""
        self.calm()
        self._house.sandbox.faults(kind, seed=self._draw.getrandbits(30), **parameters)

    def flood(self) -> None:
        self._load.flood(100)

    def cancel_a_batch(self) -> None:
        batch_id = self._load.batch(30)
        self._house.run_process("cancel", "--batch", batch_id)

    def pause(self) -> None:
        self._house.run_process("pause", "--scope", "sms", "--reason", "chaos")
        self._seconds()
        self._house.run_process("resume", "--scope", "sms")
