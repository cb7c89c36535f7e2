"""Runs scripts for the event loop: all that jobs ask of Redis in one turn of the loop travels in one pipeline."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import hiredis
import redis.asyncio
import redis.exceptions

from workers.redis_link.link import Link, is_outage, is_replica_now

if TYPE_CHECKING:
    # Not at run time: `check` needs Redis, but not delivery and its API client.
    from delivery import Script

__all__ = ["AsyncRunner"]

#: The standard library's, as in `link`.
log = logging.getLogger("workers.redis")

#: Commands in one pipeline at most.
BATCH = 256
#: So many replies together must come within the time limit of one; a slower Redis counts as an outage.
REPLIES_IN_TIME = 16
#: After so many seconds without a command, the other side may have closed the connection.
IDLE_SECONDS = 1.0
#: How long a WAIT waits for replicas, in milliseconds. Other replies of the same batch wait as long.
REPLICAS_MS = 1000
#: The runner's name at the link.
WHO = "jobs"


@dataclass(slots=True)
class _Request:
    script: Script | None
    args: tuple[Any, ...]
    answer: asyncio.Future[Any]


class TooFewReplicas(redis.exceptions.ResponseError):
    """A claim is on record, but on fewer replicas than REDIS_WAIT_REPLICAS asks for: claim again, send nothing.

    It is a ResponseError because Redis has answered: so the log gives it as a reason of its own, and does not say that Redis is away.
    """


class AsyncRunner:
    """Implements delivery's ScriptRunner. While Redis is away it waits and repeats; scripts are safe to repeat.

    One task sends for all jobs. If it ended alone, every job would wait for ever in a process that looks healthy.

    ``replicas`` is how many replicas must have a claim before its job may call the API: after a failover to one without the claim, the
    call would be made again.
    """

    #: Its name among the parts that a process cannot do without.
    name = "redis-runner"

    def __init__(self, client: redis.asyncio.Redis, link: Link, *, replicas: int = 0) -> None:
        self._client = client
        self._replicas = replicas
        self._link = link
        self._requests: list[_Request] = []
        self._wake = asyncio.Event()
        self._closed = False
        self._connection: Any = None
        #: How long a reply may take, in seconds.
        self._seconds = 0.0
        self._answered_at = time.monotonic()
        self._flusher = asyncio.create_task(self._flush_forever(), name=self.name)
        self._flusher.add_done_callback(self._flusher_ended)
        self._is_alive = True

    def is_alive(self) -> bool:
        """Return whether commands are still sent. Any thread may call this."""
        return self._is_alive

    def _flusher_ended(self, flusher: asyncio.Task[None]) -> None:
        if not self._closed:
            error = None if flusher.cancelled() else flusher.exception()
            log.critical("redis.sender_died", exc_info=error)
        # Set this last: the process ends as soon as somebody sees it, and the reason must be logged by then.
        self._is_alive = False

    async def run(self, script: Script, keys: list[str], args: list[Any]) -> Any:
        """Run a script and return its reply."""
        return await self._ask(script, (script.sha, len(keys), *keys, *args))

    async def command(self, *args: Any) -> Any:
        """Run one plain command and return its reply."""
        return await self._ask(None, args)

    async def close(self) -> None:
        """Cancel all that still wait for a reply. Another worker takes over the jobs whose outcome was not written."""
        self._closed = True
        self._flusher.cancel()
        await asyncio.gather(self._flusher, return_exceptions=True)
        self._abandon(self._requests)
        await self._drop_connection()
        await self._client.aclose()

    async def _ask(self, script: Script | None, args: tuple[Any, ...]) -> Any:
        if self._closed:
            raise asyncio.CancelledError
        request = _Request(script, args, asyncio.get_running_loop().create_future())
        self._requests.append(request)
        self._wake.set()
        return await request.answer

    async def _flush_forever(self) -> None:
        batch: list[_Request] = []
        try:
            # Look at `_closed`, too: an awaited call may swallow the cancellation, as `asyncio.wait_for` does before Python 3.12.
            while not self._closed:
                await self._wake.wait()
                self._wake.clear()
                while self._requests and not self._closed:
                    batch, self._requests = self._requests[:BATCH], self._requests[BATCH:]
                    await self._flush(batch)
        finally:
            self._abandon(batch)

    async def _flush(self, batch: list[_Request]) -> None:
        while batch and not self._closed:
            began = time.monotonic()
            try:
                commands = [
                    ("EVALSHA", *request.args) if request.script else request.args for request in batch
                ]
                waits = self._replicas > 0 and any(map(_is_claim, batch))
                if waits:
                    # WAIT counts the replicas of what its own connection has written, so it travels with the claims.
                    commands.append(("WAIT", self._replicas, REPLICAS_MS))
                answers = await self._exchange(commands)
                if waits:
                    answers = self._held_back(batch, answers)
            except Exception as error:
                if not is_outage(error):
                    _refuse(batch, error)
                    return
                if self._was_idle(error, began):
                    continue
                await asyncio.sleep(self._link.lost(WHO, error, began))
                continue
            batch = await self._hand_out(batch, answers, began)

    async def _exchange(self, commands: list[tuple[Any, ...]]) -> list[Any]:
        """Send commands in one piece. Return their replies, errors of single commands among them.

        redis-py's pipeline does the same, but looks at each of some sixty keys and arguments of a job in Python.
        """
        connection = self._connection or await self._take_connection()
        try:
            return await _round_trip(
                connection, b"".join(map(hiredis.pack_command, commands)), len(commands), self._seconds
            )
        except BaseException:
            # Replies may still come on this connection.
            await asyncio.shield(self._drop_connection())
            raise

    async def _take_connection(self) -> Any:
        """Take a connection and keep it while it works: the pool would check it twice for every batch, as it gives it and gets it back."""
        self._connection = connection = await self._client.connection_pool.get_connection()
        # If the connection has a time limit of its own, redis-py starts a task for each send.
        self._seconds, connection.socket_timeout = connection.socket_timeout, None
        return connection

    async def _drop_connection(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.socket_timeout = self._seconds
            await connection.disconnect(nowait=True)
            await self._client.connection_pool.release(connection)

    def _held_back(self, batch: list[_Request], answers: list[Any]) -> list[Any]:
        """Return the replies. Where too few replicas have the claims, replace those that would let a job call."""
        *replies, copies = answers
        if isinstance(copies, int) and copies >= self._replicas:
            return replies
        # If WAIT itself was refused, `copies` is the error.
        few = TooFewReplicas(f"replicas that have the claim: {copies}; REDIS_WAIT_REPLICAS: {self._replicas}")
        return [
            few if _is_claim(request) and isinstance(reply, list) and reply[:1] == [b"call"] else reply
            for request, reply in zip(batch, replies, strict=True)
        ]

    def _was_idle(self, error: BaseException, began: float) -> bool:
        """Return whether the connection may just have been idle: servers and load balancers close such ones.

        The batch is then sent once more, on a new connection, before this counts as an outage.
        """
        idle = began - self._answered_at > IDLE_SECONDS
        self._answered_at = began
        return idle and isinstance(error, redis.exceptions.ConnectionError)

    async def _hand_out(self, batch: list[_Request], answers: list[Any], began: float) -> list[_Request]:
        """Give each request its reply. Return the requests that have to be sent again."""
        again: list[_Request] = []
        unknown: dict[str, Script] = {}
        trouble: BaseException | None = None
        for request, answer in zip(batch, answers, strict=True):
            if request.answer.done():
                continue
            if isinstance(answer, redis.exceptions.NoScriptError) and request.script:
                unknown[request.script.sha] = request.script
                again.append(request)
            elif isinstance(answer, BaseException) and is_outage(answer):
                trouble = answer
                again.append(request)
            elif isinstance(answer, BaseException):
                request.answer.set_exception(answer)
            else:
                request.answer.set_result(answer)
        trouble = trouble or await self._load(unknown.values())
        if trouble is None:
            self._answered_at = time.monotonic()
            self._link.answered(WHO)
        elif is_outage(trouble):
            if is_replica_now(trouble):
                await self._drop_connection()
                await self._client.connection_pool.disconnect(inuse_connections=False)
            await asyncio.sleep(self._link.lost(WHO, trouble, began))
        else:
            _refuse(again, trouble)
            return []
        return again

    async def _load(self, scripts: Iterable[Script]) -> BaseException | None:
        try:
            for script in scripts:
                await self._client.script_load(script.source)
        except Exception as error:
            return error
        return None

    @staticmethod
    def _abandon(requests: list[_Request]) -> None:
        for request in requests:
            if not request.answer.done():
                request.answer.cancel()


async def _round_trip(connection: Any, packed: bytes, count: int, seconds: float) -> list[Any]:
    """Send commands and return their ``count`` replies, errors of Redis among them; raises an error of the connection."""
    loop = asyncio.get_running_loop()
    replies: list[Any] = []
    try:
        async with asyncio.timeout(seconds) as limit:
            await _send(connection, packed)
            while len(replies) < count:
                if len(replies) % REPLIES_IN_TIME == 0:
                    limit.reschedule(loop.time() + seconds)
                try:
                    # No time limit here: redis-py would set a timer for each reply, and most of them have arrived already.
                    replies.append(await connection.read_response(timeout=math.inf))
                except redis.exceptions.ResponseError as error:
                    replies.append(error)
    except TimeoutError:
        # The connection is closed, as after any error, so that nobody gets a reply that comes late.
        raise redis.exceptions.TimeoutError(f"no reply for {seconds:g} seconds") from None
    return replies


async def _send(connection: Any, packed: bytes) -> None:
    try:
        await connection.send_packed_command(packed, check_health=False)
    except RuntimeError as error:
        # So uvloop tells of a connection that was reset while nobody used it; asyncio's own loop raises a ConnectionError.
        raise redis.exceptions.ConnectionError("the connection was lost") from error


def _is_claim(request: _Request) -> bool:
    """Return whether the reply to this request may let a job call the API."""
    return request.script is not None and request.script.name == "claim"


def _refuse(requests: list[_Request], error: BaseException) -> None:
    for request in requests:
        if not request.answer.done():
            request.answer.set_exception(error)
