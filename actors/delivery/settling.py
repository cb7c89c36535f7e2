"""How an attempt ends: the job settled, and the account told what the call says about it."""

from __future__ import annotations

from typing import Any

import orjson
import structlog

from actors.delivery.answers import (
    USED_ID,
    Failure,
    Progress,
    account_events,
    failed,
    happened,
    page_batches,
    replayed,
    used_id,
)
from actors.delivery.gate import Gate
from actors.delivery.journal import Journal
from actors.delivery.kind import Outcome
from actors.delivery.ledger import Ledger
from actors.delivery.meaning import Meaning, meaning_of
from actors.delivery.policy import Policy
from actors.delivery.replies import Claim, Settled
from actors.delivery.task import Task, now
from coupontools import CoupontoolsError, Rejected

__all__ = ["HOLD_FIRST_SECONDS", "Settling", "progress_of"]

log = structlog.get_logger("actors.delivery")

#: The first interval of a hold, as account.lua has it; told by the event that begins it.
HOLD_FIRST_SECONDS = 1.0


class Settling:
    """Every end of an attempt. A method answers True when the message is not outstanding any more, False when it must be claimed anew."""

    def __init__(self, ledger: Ledger, gate: Gate, policy: Policy, journal: Journal) -> None:
        self._ledger = ledger
        self._gate = gate
        self._policy = policy
        self.journal = journal

    async def done(
        self, task: Task, token: str, outcome: Outcome, progress: Progress, *, signal: str
    ) -> bool:
        """The job was carried out: its event or pages, and its outcome."""
        events = account_events("account", task.job.scope, None, "", 0) if signal == "fine" else {}
        if outcome.pages is None:
            settled = await self.settle(
                task, "done", token, signal=signal, **events, **happened(task, outcome, progress)
            )
        else:
            settled = await self._done_in_pages(task, token, outcome, progress, signal=signal, **events)
        if settled.ours:
            self.journal.finished(task, "succeeded", progress.attempts)
        return settled.ours

    async def _done_in_pages(
        self, task: Task, token: str, outcome: Outcome, progress: Progress, **signal: Any
    ) -> Settled:
        pages = outcome.pages
        if pages is None:
            raise TypeError("only a listing has pages")
        try:
            batches = page_batches(task, outcome, progress)
            batch = next(batches)
            for following in batches:
                settled = await self.settle(task, "pages", token, **batch)
                if not settled.ours:
                    return settled
                batch = following
            return await self.settle(task, "done", token, **signal, **batch)
        finally:
            pages.close()

    async def replay(self, task: Task, token: str, claim: Claim) -> bool:
        """The key was carried out before: its event again, for this message."""
        expected = orjson.loads(claim.outcome).get("pages")
        pages = await self._ledger.pages(task) if expected else []
        if expected and len(pages) != expected:
            failure = Failure(
                "internal", "the remembered pages are gone; ask anew with another idempotency_key"
            )
            return await self.fail(task, token, failure, Progress(), owned=False)
        await self.settle(task, "replay", token, owned=False, **replayed(task, claim.outcome, pages))
        self.journal.finished(task, "replayed", 0)
        return True

    async def unknown(self, task: Task, token: str, claim: Claim) -> bool:
        """The deadline passed, and nobody can tell whether the lost call happened."""
        failure = Failure("unknown", "the deadline passed, and the API may or may not have carried it out")
        settled = await self.settle(task, "unknown", token, **failed(task, failure, progress_of(claim)))
        if settled.ours:
            self.journal.finished(task, "failed", claim.attempts, error_kind=failure.kind)
        return settled.ours

    async def fail(
        self,
        task: Task,
        token: str,
        failure: Failure,
        progress: Progress,
        *,
        owned: bool = True,
        signal: str = "",
    ) -> bool:
        """The job ends without success: its event, and a dead letter."""
        events = account_events("account", task.job.scope, None, "", 0) if signal == "fine" else {}
        settled = await self.settle(
            task, "failed", token, owned=owned, signal=signal, **events, **failed(task, failure, progress)
        )
        if settled.ours:
            self.journal.finished(
                task,
                "failed",
                progress.attempts,
                error_kind=failure.kind,
                error_code=failure.code,
                error=failure.message,
            )
        return settled.ours

    async def put_off(
        self, task: Task, token: str, claim: Claim, error: CoupontoolsError, *, departed: bool
    ) -> bool:
        """The job was not carried out, or may have been: it waits, is held, or is read back, as the error means."""
        meaning = meaning_of(
            error, effect=task.kind.effect and departed, shortest_pause=self._policy.backoff.shortest
        )
        signal = self.signal(meaning, error, claim, task)
        if meaning.verb == "held":
            await self.settle(task, "wait", token, uncount=True, keep=True, **signal)
            self.journal.finished(task, "held", claim.attempts, error_code=error.code)
            self._gate.close(meaning.scope, HOLD_FIRST_SECONDS, held=True, alone=meaning.scope != "account")
            return False
        backoff = self._policy.backoff.seconds(claim.attempts, error.retry_after)
        delay = self._policy.read_back_after if meaning.verb == "lost" else backoff
        op = "lost" if meaning.verb == "lost" else "wait"
        settled = await self.settle(task, op, token, delay=round(delay * 1000), **signal)
        if meaning.pause:
            self._gate.close("account", meaning.pause, held=False)
        self.journal.finished(
            task,
            "retrying",
            claim.attempts,
            error_kind=type(error).__name__,
            error_code=error.code,
            retry_in=delay,
            error=str(error),
        )
        return settled.ours

    async def refused(self, task: Task, token: str, claim: Claim, error: Rejected) -> bool:
        """The API refused the job for good."""
        kind = "internal" if error.code is None and error.status is None else "rejected"
        text = f"{error.message}: {'; '.join(error.details)}" if error.details else error.message
        failure = Failure(kind, text, code=error.code)
        return await self.fail(
            task, token, failure, progress_of(claim), signal="fine" if self.wary(claim) else "well"
        )

    def wary(self, claim: Claim) -> bool:
        """May this answer end a hold?"""
        return claim.probe or self._gate.wary

    def signal(self, meaning: Meaning, error: CoupontoolsError, claim: Claim, task: Task) -> dict[str, Any]:
        """What settle.lua is told of the account."""
        told: dict[str, Any] = {
            "signal": meaning.signal,
            "scope": "account" if meaning.scope == "account" else "channel",
            "code": "" if error.code is None else str(error.code),
            "text": error.message,
            "took": round((now() - task.cost.call_began) * 1000),
            "pause": round((meaning.pause or 0) * 1000),
        }
        if meaning.signal == "well" and self.wary(claim):
            told["signal"] = "fine"
        if told["signal"] != "none":
            told |= account_events(
                meaning.scope, task.job.scope, error.code, error.message, HOLD_FIRST_SECONDS
            )
        return told

    async def settle(self, task: Task, op: str, token: str, **arguments: Any) -> Settled:
        """Settles as ``op`` says; logs a hold that began or ended by it."""
        settled = await self._ledger.settle(task, op, token, **arguments)
        if settled.used:
            settled = await self.reject_used_id(task)
        names = {"account": "account", "channel": task.job.scope}
        if settled.hold_began:
            scope, code = names[arguments["scope"]], arguments.get("code")
            log.warning(
                "account.held", scope=scope, code=int(code) if code else None, message=arguments.get("text")
            )
        for ended in settled.holds_ended:
            log.warning("account.released", scope=names[ended])
        if settled.holds_ended:
            self._gate.open()
        return settled

    async def reject_used_id(self, task: Task) -> Settled:
        """The message has the id of one that was answered: it gets no answer of its own, but is not swallowed either."""
        answer = used_id(task, await self._ledger.body(task))
        settled = await self._ledger.settle(task, "rejected", "", owned=False, **answer)
        log.warning(
            "message.rejected",
            queue=task.queue,
            redis_message_id=task.receipt.id,
            message_id=task.message_id,
            reason=USED_ID,
        )
        return settled


def progress_of(claim: Claim) -> Progress:
    """What the events tell of the way so far."""
    return Progress(attempts=claim.attempts, reconciled=claim.reconciled)
