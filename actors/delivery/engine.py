"""One effect, one answer: the straight line claim -> call -> settle, and every way that leaves it."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import orjson
import structlog

from actors.delivery.answers import (
    Failure,
    Progress,
    account_events,
    failed,
    happened,
    page_batches,
    replayed,
)
from actors.delivery.calling import Lease, LeaseLost, Slots, call_of, measured
from actors.delivery.gate import Draining, Gate, Ticket
from actors.delivery.journal import Journal
from actors.delivery.kind import Outcome
from actors.delivery.ledger import Claim, Ledger, Settled
from actors.delivery.meaning import Meaning, meaning_of
from actors.delivery.policy import Policy
from actors.delivery.reading import Reader
from actors.delivery.task import Task, now
from coupontools import Call, Coupontools, CoupontoolsError, MayHaveHappened, Rejected

__all__ = ["Delivery"]

log = structlog.get_logger("actors.delivery")

#: The first interval of a hold, as account.lua has it; told by the event that begins it.
HOLD_FIRST_SECONDS = 1.0
#: How soon a job that is past its deadline asks again while the account is held.
OVERDUE_SECONDS = 5.0


class Delivery:
    """Carries out tasks. One instance per event loop."""

    def __init__(
        self, ledger: Ledger, api: Coupontools, gate: Gate, policy: Policy, journal: Journal
    ) -> None:
        self._ledger = ledger
        self._api = api
        self._gate = gate
        self._policy = policy
        self._journal = journal
        self._slots = Slots(ledger, policy)
        self._reader = Reader(ledger, api, policy)

    async def deliver(self, task: Task) -> None:
        """Carries out one task until its message is settled or waits in Redis.

        When the worker stops first, the message stays outstanding.
        """
        place = self._gate.take_number()
        patience = max(0.0, _patience(task))
        while True:
            try:
                ticket = await self._gate.enter(task.kind.lane, task.job.scope, place, patience)
            except Draining:
                return
            with self._gate.inside(ticket):
                done = await self._attempt(task, ticket)
            if done:
                task.receipt.release()
                return
            # Only a hold or the pace sends a job back here after its deadline.
            patience = max(OVERDUE_SECONDS, _patience(task))

    async def _attempt(self, task: Task, ticket: Ticket) -> bool:
        """One claim and what follows. True when the message is not outstanding any more."""
        token = uuid.uuid4().hex
        asked_at = now()
        claim = await self._ledger.claim(task, token)
        if claim.verb in {"held", "paced"}:
            self._gate.close(
                "account" if claim.verb == "paced" else task.job.scope,
                claim.wait / 1000,
                held=claim.verb == "held",
            )
            ticket.claimed()
            return False
        ticket.claimed()
        match claim.verb:
            case "gone" | "answered" | "deferred":
                log.debug("job.left", reason=claim.reason or claim.verb, message_id=task.message_id)
                return True
            case "replay":
                return await self._replay(task, token, claim)
            case "conflict":
                failure = Failure("conflict", "this idempotency key was used before for a different job")
                return await self._fail(task, token, failure, Progress(), owned=False)
            case "expired":
                failure = Failure(
                    "expired", "the deadline passed first; the API certainly did not carry it out"
                )
                return await self._fail(task, token, failure, _progress(claim))
            case "unknown":
                return await self._unknown(task, token, claim)
            case "found":
                outcome = task.kind.found(task.job, orjson.loads(claim.evidence))
                return await self._done(task, token, outcome, _progress(claim), signal="")
            case "read_back":
                return await self._read_back(task, token, claim)
            case "call":
                if not claim.probe:
                    self._gate.open()
                return await self._call(task, token, claim, Lease(self._policy, asked_at, claim.lease))
            case _:
                raise ValueError(f"claim.lua answered {claim.verb!r}")

    # -- The call ---------------------------------------------------------------------------------------------------------

    async def _call(self, task: Task, token: str, claim: Claim, lease: Lease) -> bool:
        try:
            async with self._faults(task, token, lease):
                await self._slots.wait(claim.wait)
                if claim.wait and not claim.probe and self._gate.wary:
                    # A hold began while this job slept until its slot.
                    await self._settle(task, "wait", token, uncount=True, keep=True)
                    return False
                if task.kind.named and claim.baseline is None:
                    await self._note_baseline(task, token, lease)
                async with measured(task):
                    outcome = await task.kind.call(task.job, self._api, call_of(task, lease.guard))
        except LeaseLost:
            log.warning("lease.lost", message_id=task.message_id, job=task.job.actor)
            return (await self._settle(task, "wait", token, uncount=True)).ours
        except Rejected as error:
            answer = task.kind.refused(task.job, error)
            if answer is not None:
                return await self._done(
                    task, token, answer, _progress(claim), signal="fine" if self._wary(claim) else "well"
                )
            return await self._refused(task, token, claim, error)
        except CoupontoolsError as error:
            return await self._put_off(task, token, claim, error, departed=lease.departed)
        return await self._done(
            task, token, outcome, _progress(claim), signal="fine" if self._wary(claim) else "well"
        )

    async def _note_baseline(self, task: Task, token: str, lease: Lease) -> None:
        await self._slots.take()
        async with measured(task):
            baseline = await task.kind.baseline(task.job, self._api, call_of(task))
        asked_at = now()
        renewed = await self._ledger.note_baseline(task, token, baseline)
        if not renewed:
            raise LeaseLost
        lease.renew(asked_at, renewed)
        await self._slots.take()

    @asynccontextmanager
    async def _faults(self, task: Task, token: str, lease: Lease) -> AsyncIterator[None]:
        """A worker that is told to stop in the middle of a call says so in the ledger; a fault of ours ends the job as such."""
        try:
            yield
        except asyncio.CancelledError:
            op = "lost" if lease.departed and task.kind.effect else "wait"
            await asyncio.shield(self._settle(task, op, token, signal="none"))
            task.receipt.release()
            raise
        except (CoupontoolsError, LeaseLost):
            raise
        except Exception as error:
            log.exception("job.fault", message_id=task.message_id, job=task.job.actor)
            if lease.departed and task.kind.effect:
                raise MayHaveHappened(
                    f"a fault of ours after bytes had left: {type(error).__name__}"
                ) from error
            raise Rejected(f"a fault of ours: {type(error).__name__}") from error

    async def _put_off(
        self, task: Task, token: str, claim: Claim, error: CoupontoolsError, *, departed: bool
    ) -> bool:
        meaning = meaning_of(
            error, effect=task.kind.effect and departed, shortest_pause=self._policy.backoff.shortest
        )
        signal = self._signal(meaning, error, claim, task)
        if meaning.verb == "held":
            await self._settle(task, "wait", token, uncount=True, keep=True, **signal)
            self._journal.finished(task, "held", claim.attempts, error_code=error.code)
            self._gate.close(meaning.scope, HOLD_FIRST_SECONDS, held=True)
            return False
        backoff = self._policy.backoff.seconds(claim.attempts, error.retry_after)
        delay = self._policy.read_back_after if meaning.verb == "lost" else backoff
        op = "lost" if meaning.verb == "lost" else "wait"
        settled = await self._settle(task, op, token, delay=round(delay * 1000), **signal)
        if meaning.pause:
            self._gate.close("account", meaning.pause, held=False)
        self._journal.finished(
            task,
            "retrying",
            claim.attempts,
            error_kind=type(error).__name__,
            error_code=error.code,
            retry_in=delay,
            error=str(error),
        )
        return settled.ours

    async def _refused(self, task: Task, token: str, claim: Claim, error: Rejected) -> bool:
        kind = "internal" if error.code is None and error.status is None else "rejected"
        text = f"{error.message}: {'; '.join(error.details)}" if error.details else error.message
        failure = Failure(kind, text, code=error.code)
        return await self._fail(
            task, token, failure, _progress(claim), signal="fine" if self._wary(claim) else "well"
        )

    # -- Reading back -----------------------------------------------------------------------------------------------------

    async def _read_back(self, task: Task, token: str, claim: Claim) -> bool:
        async def pace() -> Call:
            await self._slots.take()
            return call_of(task)

        try:
            async with measured(task):
                told = await self._reader.read_back(task, token, pace)
        except CoupontoolsError as error:
            meaning = meaning_of(error, effect=False, shortest_pause=self._policy.backoff.shortest)
            await self._reader.give_up(task, token)
            await self._settle(task, "signal", token, **self._signal(meaning, error, claim, task))
            if meaning.verb == "held":
                self._gate.close(meaning.scope, HOLD_FIRST_SECONDS, held=True)
            log.warning(
                "read_back.failed", message_id=task.message_id, error=str(error), error_code=error.code
            )
            return False
        signal = account_events("account", task.job.scope, None, "", 0) if self._gate.wary else {}
        await self._settle(task, "signal", token, signal="fine" if signal else "well", **signal)
        log.info("read_back.done", job=task.job.actor, listing=task.kind.listing(task.job), told=told)
        return False

    # -- Ends ---------------------------------------------------------------------------------------------------------------

    async def _done(
        self, task: Task, token: str, outcome: Outcome, progress: Progress, *, signal: str
    ) -> bool:
        events = account_events("account", task.job.scope, None, "", 0) if signal == "fine" else {}
        if outcome.pages is None:
            settled = await self._settle(
                task, "done", token, signal=signal, **events, **happened(task, outcome, progress)
            )
        else:
            settled = await self._done_in_pages(task, token, outcome, progress, signal=signal, **events)
        if settled.ours:
            self._journal.finished(task, "succeeded", progress.attempts)
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
                settled = await self._settle(task, "pages", token, **batch)
                if not settled.ours:
                    return settled
                batch = following
            return await self._settle(task, "done", token, **signal, **batch)
        finally:
            pages.close()

    async def _replay(self, task: Task, token: str, claim: Claim) -> bool:
        pages = await self._ledger.pages(task) if b'"pages":' in claim.outcome else []
        await self._settle(task, "replay", token, owned=False, **replayed(task, claim.outcome, pages))
        self._journal.finished(task, "replayed", 0)
        return True

    async def _unknown(self, task: Task, token: str, claim: Claim) -> bool:
        failure = Failure("unknown", "the deadline passed, and the API may or may not have carried it out")
        settled = await self._settle(task, "unknown", token, **failed(task, failure, _progress(claim)))
        if settled.ours:
            self._journal.finished(task, "failed", claim.attempts, error_kind=failure.kind)
        return settled.ours

    async def _fail(
        self,
        task: Task,
        token: str,
        failure: Failure,
        progress: Progress,
        *,
        owned: bool = True,
        signal: str = "",
    ) -> bool:
        events = account_events("account", task.job.scope, None, "", 0) if signal == "fine" else {}
        settled = await self._settle(
            task, "failed", token, owned=owned, signal=signal, **events, **failed(task, failure, progress)
        )
        if settled.ours:
            self._journal.finished(
                task,
                "failed",
                progress.attempts,
                error_kind=failure.kind,
                error_code=failure.code,
                error=failure.message,
            )
        return settled.ours

    async def answer_at_once(self, task: Task, outcome: Outcome) -> None:
        """Settles a job for which the API need not be asked."""
        answer = happened(task, outcome, Progress())
        await self._settle(task, "replay", "", owned=False, events=answer["events"])
        self._journal.finished(task, "succeeded", 0)
        task.receipt.release()

    async def fail_at_once(self, task: Task, failure: Failure) -> None:
        """Answers a job that breaks the rules; its record is not looked at."""
        await self._fail(task, "", failure, Progress(), owned=False)
        task.receipt.release()

    # -- The account ------------------------------------------------------------------------------------------------------

    def _wary(self, claim: Claim) -> bool:
        return claim.probe or self._gate.wary

    def _signal(self, meaning: Meaning, error: CoupontoolsError, claim: Claim, task: Task) -> dict[str, Any]:
        told: dict[str, Any] = {
            "signal": meaning.signal,
            "scope": "account" if meaning.scope == "account" else "channel",
            "code": "" if error.code is None else str(error.code),
            "text": error.message,
            "took": round((now() - task.cost.call_began) * 1000),
            "pause": round((meaning.pause or 0) * 1000),
        }
        if meaning.signal == "well" and self._wary(claim):
            told["signal"] = "fine"
        if told["signal"] != "none":
            told |= account_events(
                meaning.scope, task.job.scope, error.code, error.message, HOLD_FIRST_SECONDS
            )
        return told

    async def _settle(self, task: Task, op: str, token: str, **arguments: Any) -> Settled:
        settled = await self._ledger.settle(task, op, token, **arguments)
        scope = str(arguments.get("scope", "account"))
        if settled.hold_began:
            scope = task.job.scope if scope == "channel" else "account"
            log.warning(
                "account.held", scope=scope, code=arguments.get("code") or None, message=arguments.get("text")
            )
        if settled.hold_ended:
            log.warning("account.released", scope=scope)
            self._gate.open()
        return settled


def _progress(claim: Claim) -> Progress:
    return Progress(attempts=claim.attempts, reconciled=claim.reconciled)


def _patience(task: Task) -> float:
    return task.deadline / 1000 - time.time()
