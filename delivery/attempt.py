"""One attempt at a job: claim it, call the API, settle it. Every job takes this path.

::

    claim --> the job's call --> settle
       \\--> leave the message: answered before, another worker's, too early, held
       \\--> settle at once: a replay, a conflict, a deadline that passed, a lost call that was found
       \\--> read back --> claim again
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from typing import Any

import orjson
import structlog

from coupontools import CoupontoolsError, MayHaveHappened, Rejected
from delivery import account, answer
from delivery.answer import Failure, Progress
from delivery.claim import Claim, tokens
from delivery.gate import Ticket
from delivery.job import Outcome
from delivery.lease import Lease, LeaseLost, OutOfTime, Withdrawn
from delivery.log_line import Trouble
from delivery.means import Means
from delivery.read_back import MOST_IDS, ReadBack
from delivery.retry import Pause
from delivery.settlement import Lost, NoSettlement, Postponed, Settled, Settlement, Signal, Waiting
from delivery.task import Task, now

__all__ = ["Attempt"]

log = structlog.get_logger("delivery")

#: The claim of an attempt that has not claimed yet.
_NONE = Claim("none")


class Attempt:
    """Owns the task, the token, the claim and the lease.

    The methods that end an attempt return True when the message is not outstanding any more, False when it must be claimed anew.
    """

    def __init__(self, means: Means, task: Task) -> None:
        self.means = means
        self.task = task
        self.token = tokens.next()
        self.claim = _NONE
        #: Set with the claim.
        self.lease: Lease

    async def run(self, ticket: Ticket) -> bool:  # noqa: C901, PLR0912 - one row for each answer of claim.lua
        """Claim the job, and do what claim.lua answers."""
        gate, job, asked_at = self.means.gate, self.task.job, now()
        self.claim = claim = await self.means.ledger.claim(
            self.task, self.token, waiting=gate.waiting_lanes, may_list=gate.shares.may_list
        )
        self.lease = Lease(
            self.means.ledger, self.means.policy, self.task, self.token, claimed_at=asked_at, claim=claim
        )
        if claim.verb == "parked":
            gate.hold(claim.hold, self.task.holds)
        elif claim.verb == "benched":
            gate.bench(claim.wait / 1000)
        elif claim.verb == "paced":
            gate.pace(claim.wait / 1000, ticket.lane, claim.turn)
        ticket.claimed()
        self.task.attempts = max(self.task.attempts, claim.attempts)
        match claim.verb:
            case "paced":
                return False
            case "gone" | "answered" | "deferred" | "parked" | "benched":
                self._leave()
                return True
            case "used":
                return (await self._set_aside()).ours
            case "replay":
                return await self._replay()
            case "conflict":
                return await self.fail(answer.conflict(job), owned=False)
            case "cancelled":
                return await self.fail(answer.CANCELLED, owned=claim.owned)
            case "worn":
                failure = answer.WORN_UNKNOWN if claim.reason else answer.WORN
                return await self.fail(failure, owned=claim.owned)
            case "expired":
                return await self.fail(answer.late(answer.EXPIRED, claim.reason), owned=claim.owned)
            case "unknown":
                return await self.fail(answer.late(answer.UNKNOWN, claim.reason))
            case "found":
                return await self._succeed(job.found(orjson.loads(claim.evidence)), account.found(self.task))
            case "told":
                return await self._succeed(job.from_told(orjson.loads(claim.evidence)), None)
            case "stands":
                return await self._tell_pages()
            case "read_back":
                return await self._read_back()
            case _:
                return await self._call()

    # -- The call ---------------------------------------------------------------------------------------------------------

    async def _call(self) -> bool:
        task, claim = self.task, self.claim
        try:
            async with self._faults():
                if claim.wait:
                    await asyncio.sleep(claim.wait / 1000)
                if self.lease.slot_missed or (self.means.gate.holds_up(task.holds) and not claim.probe):
                    # The slot was missed, or a hold began while this attempt slept until its slot.
                    await self.settle(Waiting(uncount=True, keep=True), account.SILENT)
                    return False
                if task.job.named and claim.baseline is None and not await self._note_baseline():
                    return True
                outcome = await self._ask()
        except OutOfTime:
            settled = await self.settle(Waiting(), account.SILENT)
            self._log_again(settled, Trouble(text="the deadline passed", retry_in=0))
            return settled.ours
        except Withdrawn:
            # Claim again: claim.lua then says whether the job is cancelled, held or overdue.
            await self.settle(Waiting(uncount=True, keep=True), account.SILENT)
            return False
        except LeaseLost:
            log.warning("lease.lost", message_id=task.message_id, job=task.job.actor)
            settled = await self.settle(Waiting(uncount=True), account.SILENT)
            self._log_again(settled, Trouble(text="the lease was lost before the call was sent", retry_in=0))
            return settled.ours
        except Rejected as error:
            refusal = task.job.refused(error)
            if refusal is None:
                return await self.fail(answer.refusal(error), account.it_works(task))
            outcome = refusal
        except CoupontoolsError as error:
            return await self._put_off(error)
        return await self._succeed(outcome, account.it_works(task))

    async def _ask(self) -> Outcome:
        job, call = self.task.job, self.task.call(self.lease.guard)
        with self._measured():
            if job.effect:
                return await job.call(self.means.api, call)
            # Only a call that changes nothing may outlast its lease.
            async with self.lease.kept():
                return await job.call(self.means.api, call)

    async def _note_baseline(self) -> bool:
        """Note what is there before the call, so that nobody takes it for the job's effect.

        Return False when this process has no room for a listing: the message waits.

        Raises:
            Withdrawn: the job is cancelled, held or overdue by now.
        """
        with self.means.gate.one_listing() as is_room:
            if not is_room:
                await self.settle(
                    Waiting(uncount=True, delay=round(Pause.listing_room * 1000)), account.SILENT
                )
                return False
            async with self.lease.kept():
                with self._measured():
                    baseline = await self.task.job.baseline(self.means.api, self.task.call())
                # Wait for the call's slot while the lease is renewed: at a slow pace, the lease alone would not last.
                await self.means.take_slot(self.task.queue)
        # The listing may have taken minutes. An operator who cancelled or paused meanwhile was told that no new call begins.
        if await self.means.ledger.is_stopped(self.task, self.token, deadline=self.claim.deadline):
            raise Withdrawn
        await self.lease.renew(baseline)
        return True

    @asynccontextmanager
    async def _faults(self) -> AsyncIterator[None]:
        """Settle the record if the worker is stopped during a call; turn a fault of ours into an error that can be settled."""
        try:
            yield
        except asyncio.CancelledError:
            # Log first: while Redis is away, settling does not end.
            self._log("interrupted", Trouble(text="the worker stops"))
            await asyncio.shield(
                self.settle(Lost() if self._may_have_happened else Waiting(), account.SILENT)
            )
            self.task.receipt.release()
            raise
        except (CoupontoolsError, LeaseLost, OutOfTime, Withdrawn):
            raise
        except Exception as error:
            log.exception("job.fault", message_id=self.task.message_id, job=self.task.job.actor)
            if self._may_have_happened:
                raise MayHaveHappened(
                    f"a fault of ours after bytes had left: {type(error).__name__}"
                ) from error
            raise Rejected(f"a fault of ours: {type(error).__name__}") from error

    # -- Reading back -----------------------------------------------------------------------------------------------------

    async def _read_back(self) -> bool:
        """Read a listing and write its verdicts; if there is one on this job, the next claim finds it."""
        means = self.means
        read_back = ReadBack(means.ledger, means.api, means.policy, self.task, self.token)
        with means.gate.one_listing() as is_room:
            if not is_room:
                # Another job took the last room for a listing while the claim was under way.
                await read_back.give_up(self.claim.lost_at)
                await self.settle(Postponed(delay=round(Pause.listing_room * 1000)), account.SILENT)
                return True
            await self._read_the_listing(read_back)
        return False

    async def _read_the_listing(self, read_back: ReadBack) -> None:
        task, means = self.task, self.means
        about: dict[str, Any] = {
            "job": task.job.actor,
            "message_id": task.message_id,
            "listing": task.job.listing(),
        }
        try:
            async with self.lease.kept():
                await means.take_slot(task.queue)
                await read_back.find_waiting()
                about["message_ids"] = read_back.message_ids
                try:
                    with self._measured():
                        verdicts = await read_back.read(task.call())
                finally:
                    means.log_line.read_back(task)
                told = await read_back.tell(verdicts)
        except (LeaseLost, OutOfTime) as error:
            await read_back.give_up(self.claim.lost_at)
            await self.settle(NoSettlement(), account.SILENT)
            log.warning("read_back.given_up", **about, reason=type(error).__name__)
        except CoupontoolsError as error:
            await read_back.give_up(self.claim.lost_at, error.retry_after, why=_reason(error))
            meaning = means.meaning(error, effect=False)
            await self.settle(NoSettlement(), account.listing_trouble(task, meaning, error))
            log.warning("read_back.failed", **about, error=str(error), error_code=error.code)
        else:
            await self.settle(NoSettlement(), account.listing_works(task))
            about["message_ids"] = [verdict.unknown.message_id for verdict in told[:MOST_IDS]]
            log.info("read_back.done", **about, told=len(told))

    # -- How an attempt ends ----------------------------------------------------------------------------------------------

    async def _succeed(self, outcome: Outcome, signal: Signal | None) -> bool:
        """Settle a job that was carried out, with its event or pages and its outcome."""
        if outcome.pages is None:
            form = self.means.ledger.form()
            settled = await self.settle(answer.done(self.task, outcome, self._progress, form=form), signal)
        else:
            try:
                for batch in answer.done_in_pages(self.task, outcome, outcome.pages, self._progress):
                    settled = await self._settle_whole(batch, signal if batch.op == "done" else None)
                    if not settled.answered:
                        break
            finally:
                outcome.pages.close()
        if settled.answered:
            self._log("succeeded")
        return settled.ours

    async def _tell_pages(self) -> bool:
        """Write the pages that are still staged: the worker that staged them all died while it wrote them."""
        settled = await self._settle_whole(answer.STAGED)
        if settled.answered:
            self._log("succeeded")
        return settled.ours

    async def _replay(self) -> bool:
        """Answer the message from the outcome on record: its key was carried out before."""
        told = orjson.loads(self.claim.outcome)
        pages = await self.means.ledger.pages(self.task) if "pages" in told else []
        replayed = answer.replayed(self.task, told, pages)
        if replayed is None:
            return await self.fail(answer.PAGES_GONE, owned=False)
        if (await self.settle(replayed)).answered:
            self._log("replayed")
        return True

    async def fail(self, failure: Failure, signal: Signal | None = None, *, owned: bool = True) -> bool:
        """End the job without success, with its event and, for most kinds of failure, a dead letter."""
        settled = await self.settle(answer.failed(self.task, failure, self._progress, owned=owned), signal)
        if settled.answered:
            self._log("failed", Trouble(failure.kind, failure.code, failure.message))
        return settled.ours

    async def _put_off(self, error: CoupontoolsError) -> bool:
        """Settle a job whose call failed: depending on the error, it waits, is held, or is read back."""
        policy, attempts = self.means.policy, self.claim.attempts
        meaning = self.means.meaning(error, effect=self._may_have_happened)
        signal = account.trouble(self.task, meaning, error)
        if meaning.verb == "held":
            kind = Lost if meaning.lost else Waiting
            await self.settle(kind(uncount=True, keep=True, why=_reason(error)), signal)
            self._log("held", Trouble(None, error.code))
            return False
        settlement: Waiting
        if meaning.verb == "lost":
            delay = max(policy.read_back_after, policy.backoff.at_most(error.retry_after))
            settlement = Lost(delay=round(delay * 1000), why=_reason(error), another=error.another or None)
        else:
            delay = policy.backoff.seconds(attempts, error.retry_after)
            settlement = Waiting(delay=round(delay * 1000), why=_reason(error))
        settled = await self.settle(settlement, signal)
        self._log_again(settled, Trouble(type(error).__name__, error.code, str(error), retry_in=delay))
        return settled.ours

    async def _set_aside(self) -> Settled:
        """Set the message aside, with a ``message.rejected`` event: its id was answered before, for another message."""
        task = self.task
        settled = await self.settle(answer.used_id(task, await self.means.ledger.body(task)))
        self.means.log_line.rejected(task)
        log.warning(
            "message.rejected",
            queue=task.queue,
            redis_message_id=task.receipt.id,
            message_id=task.message_id,
            reason=answer.USED_ID,
        )
        self.means.log_line.left(task, "interrupted", Trouble(text=answer.USED_ID))
        return settled

    async def settle(self, settlement: Settlement, signal: Signal | None = None) -> Settled:
        """Settle, and log the holds that this began or ended."""
        settled = await self.means.ledger.settle(
            self.task, self.token, settlement, signal, deadline=self.claim.deadline
        )
        if settled.used:
            return replace(await self._set_aside(), used=True)
        account.tell(settled.changes)
        if settled.changes.ended:
            self.means.gate.release()
        return settled

    async def _settle_whole(self, settlement: Settlement, signal: Signal | None = None) -> Settled:
        """Repeat the settlement until no staged event is left to write."""
        while (settled := await self.settle(settlement, signal)).more:
            pass
        return settled

    @contextmanager
    def _measured(self) -> Iterator[None]:
        """Count one call of the API and its time, unless the lease or the deadline ended it."""
        cost, sent = self.task.cost, True
        cost.call_began = now()
        try:
            yield
        except (LeaseLost, OutOfTime):
            sent = False
            raise
        finally:
            if sent:
                took = now() - cost.call_began
                cost.api_calls += 1
                cost.api_seconds += took
                self.means.log_line.called(self.task, took)

    # -- Small parts ------------------------------------------------------------------------------------------------------

    @property
    def _progress(self) -> Progress:
        return Progress(attempts=self.claim.attempts, reconciled=self.claim.reconciled)

    @property
    def _may_have_happened(self) -> bool:
        return self.lease.departed and self.task.job.effect

    def _log(self, outcome: str, trouble: Trouble | None = None) -> None:
        claim = self.claim
        self.means.log_line.finished(self.task, outcome, claim.attempts, trouble, reconciled=claim.reconciled)

    def _log_again(self, settled: Settled, trouble: Trouble) -> None:
        """Log that the job is tried again: by this worker or, if the message is not its own any more, by another."""
        self._log("retrying" if settled.ours else "interrupted", trouble)

    def _leave(self) -> None:
        claim, task = self.claim, self.task
        log.debug("job.left", reason=claim.reason or claim.verb, message_id=task.message_id)
        outcome = {"deferred": "retrying", "parked": "held"}.get(claim.verb, "interrupted")
        retry_in = claim.wait / 1000 if claim.verb == "deferred" else None
        self.means.log_line.left(task, outcome, Trouble(text=claim.reason or claim.verb, retry_in=retry_in))


def _reason(error: CoupontoolsError) -> str:
    return str(error)[: answer.REASON_CHARACTERS]
