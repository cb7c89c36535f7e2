"""Whether Redis serves: a log line when it stops, one for each new reason, and one when it is back, however many threads notice."""

from __future__ import annotations

import logging
import re
import threading
import time

import redis.exceptions

from config import redact_text

__all__ = ["Link", "is_outage", "is_replica_now", "trouble_of"]

#: The standard library's logger: structlog loads rich, and a health check that needs Redis needs neither.
log = logging.getLogger("workers.redis")

#: What Redis says only when the command itself is wrong: an error of Lua (in errors of its own, Redis puts an @ before the place), a key
#: of another type, wrong arguments.
_COMMAND_IS_WRONG = re.compile(
    r"(?<!@)user_script:\d+: |Lua redis\S* (?:lib )?command arguments|"
    r"WRONGTYPE|wrong number of arg|not an integer|not a valid float|syntax error",
    re.IGNORECASE,
)
#: The words by which the commonest reasons are known; in the error of a script, they may be anywhere in the text.
_REASONS = {
    "OOM": ("OOM", "command not allowed when used memory"),
    "READONLY": ("READONLY", "UNBLOCKED", "You can't write against a read only replica"),
    "NOPERM": ("NOPERM", "no permissions", "can't run this command", "can't access at least one of the keys"),
}
#: How redis-py names a sentinel that does not answer: with all that it knows of the connection, which is more than a thousand characters.
_SENTINEL = re.compile(r"<redis\S*\.Redis\(.*?[(,]host=([^,]*),port=(\d+).*?\)>\)>\)>", re.DOTALL)
#: The place in a script of ours at which Redis 7 refused something; it helps nobody who reads the message.
_PLACE = re.compile(r" script: [0-9a-f]{40}, on @user_script:\d+\.?")
#: How long a process waits before it tries again, in seconds: soon after the first failure, then less often.
FIRST_PAUSE_SECONDS = 0.05
LONGEST_PAUSE_SECONDS = 1.0


def is_outage(error: BaseException) -> bool:
    """Return whether this error means that Redis cannot serve now, rather than that the command was wrong.

    An error that does not prove the command wrong is an outage: no list names all that Redis, its proxies and its operators may refuse.
    """
    if isinstance(error, redis.exceptions.ResponseError):
        return not _COMMAND_IS_WRONG.search(str(error))
    if isinstance(error, redis.exceptions.DataError):
        return False
    return isinstance(error, redis.exceptions.RedisError | OSError)


def _reason(error: BaseException) -> str:
    """Return in a word why Redis does not serve; the same word for every command that meets this reason."""
    if isinstance(error, redis.exceptions.AuthenticationError | redis.exceptions.AuthorizationError):
        # After a password was changed, the first errors come from connections that Redis closed, as if Redis were away.
        return "password"
    if not isinstance(error, redis.exceptions.ResponseError):
        return "away"
    text = str(error)
    for reason, signs in _REASONS.items():
        if any(sign in text for sign in signs):
            return reason
    return re.sub(r"[0-9a-f]{40}|\d+", "", text)


def is_replica_now(error: BaseException) -> bool:
    """Return whether a replica answered: after a failover the old connections lead to the wrong server for good."""
    if isinstance(error, redis.exceptions.ReadOnlyError):
        return True
    return isinstance(error, redis.exceptions.ResponseError) and "READONLY" in str(error)


def _text_of(error: BaseException) -> str:
    """Return what an error says, with each sentinel cut to its address."""
    return _SENTINEL.sub(r"sentinel \1:\2", str(error))


def trouble_of(error: redis.exceptions.RedisError) -> str:
    """Return a sentence for people: whether Redis refuses or does not answer, and what the error says."""
    said_no = (
        redis.exceptions.ResponseError
        | redis.exceptions.AuthenticationError
        | redis.exceptions.AuthorizationError
    )
    return f"Redis {'refuses' if isinstance(error, said_no) else 'does not answer'}: {redact_text(_PLACE.sub('', _text_of(error)))}"


class Link:
    """The process's view of Redis, shared by all senders of commands: each thread and the loop has a name of its own.

    Redis counts as back when every sender whose command failed has had an answer: a full Redis serves some commands and refuses others.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._without: set[str] = set()
        self._lost_at = 0.0
        self._back_at = 0.0
        self._pauses: dict[str, float] = {}
        #: The reasons of this outage that were logged, and the last of them in full.
        self._told: set[str] = set()
        self._why = ""
        #: How often a command failed after one that was answered. Code that remembers this number can tell later whether one failed since.
        self.losses = 0

    @property
    def without(self) -> str | None:
        """Return why Redis does not serve all senders here, or None if it does. It may refuse one command and serve the others."""
        return self._why if self._without else None

    def lost(self, who: str, error: BaseException, began: float) -> float:
        """Note that a command of ``who``, begun at ``began`` (``time.monotonic()``), failed. Return the seconds to wait before the next."""
        with self._lock:
            if self._without:
                self._tell(error)
            if who in self._without:
                self._pauses[who] = min(LONGEST_PAUSE_SECONDS, self._pauses[who] * 1.5)
                return self._pauses[who]
            self.losses += 1
            if not self._without and began < self._back_at:
                # The command began before Redis came back: its failure belongs to the outage that is over and was logged.
                return FIRST_PAUSE_SECONDS
            if not self._without:
                self._lost_at = time.monotonic()
                self._tell(error)
            self._without.add(who)
            self._pauses[who] = FIRST_PAUSE_SECONDS
            return FIRST_PAUSE_SECONDS

    def _tell(self, error: BaseException) -> None:
        """Log why Redis does not serve, once for each reason of an outage."""
        reason = _reason(error)
        if reason not in self._told:
            self._told.add(reason)
            self._why = f"{type(error).__name__}: {_text_of(error)}"
            log.error("redis.unavailable", extra={"error": self._why})

    def retire(self, who: str) -> None:
        """Forget ``who``, which sends no more commands; the others show whether Redis is back."""
        with self._lock:
            if len(self._without) > 1:
                self._without.discard(who)

    def answered(self, who: str) -> None:
        """Note that a command of ``who`` was answered."""
        if who not in self._without:
            return
        with self._lock:
            self._without.discard(who)
            if not self._without:
                self._back_at = time.monotonic()
                self._told.clear()
                away_ms = round((self._back_at - self._lost_at) * 1000)
                log.warning("redis.recovered", extra={"away_ms": away_ms})
