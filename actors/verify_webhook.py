"""verify_webhook: asks the API whether a received webhook is genuine. Coupontools signs nothing, so existence and fields are compared."""

from __future__ import annotations

from typing import Any, ClassVar

from actors.delivery.kind import Kind, Outcome
from actors.jobs import Job, VerifyWebhook
from coupontools import Call, Coupontools, Rejected
from coupontools.webhooks import compare, denies, facts, identify, recorded_facts

__all__ = ["VerifyWebhookKind"]

#: The API knows no such webhook; vendor's document, "Verification".
WEBHOOK_NOT_FOUND = 509


class VerifyWebhookKind(Kind[VerifyWebhook]):
    """Verifies a webhook."""

    job: ClassVar[type[Job]] = VerifyWebhook
    lane = 0
    urgent = True

    def without_call(self, job: VerifyWebhook) -> Outcome | None:
        """A body whose id is no ``evt_`` id cannot be verified by anybody."""
        if identify(_body(job)) is None:
            return _rejected(job, "unverifiable")
        return None

    async def call(self, job: VerifyWebhook, api: Coupontools, call: Call) -> Outcome:
        """Asks for the webhook, and compares every field that both sides have."""
        body = _body(job)
        record = await api.webhooks.verify(body["id"], call)
        if denies(record.fields):
            return _rejected(job, "not_found")
        comparison = compare(body, record.fields)
        if comparison.mismatches:
            return _rejected(
                job,
                "mismatch",
                [
                    {"field": m.field, "received": m.received, "expected": m.expected}
                    for m in comparison.mismatches
                ],
            )
        told = facts(body) if job.payload is not None else recorded_facts(record.fields)
        said = body if job.payload is not None else record.fields
        data = {
            "webhook_id": body["id"],
            "webhook_type": told.webhook_type,
            "datetime": said.get("datetime") or said.get("date"),
            "campaign": told.campaign,
            "session": told.session,
            "payload": job.payload,
            "checked": list(comparison.checked),
        }
        return Outcome("webhook.verified", data, subject=body["id"])

    def refused(self, job: VerifyWebhook, error: Rejected) -> Outcome | None:
        """A webhook that the API does not know is the answer, not a failure to get one."""
        return _rejected(job, "not_found") if error.code == WEBHOOK_NOT_FOUND else None


def _body(job: VerifyWebhook) -> dict[str, Any]:
    return job.payload if job.payload is not None else {"id": job.webhook_id}


def _rejected(job: VerifyWebhook, reason: str, mismatches: list[dict[str, Any]] | None = None) -> Outcome:
    webhook_id = _body(job)["id"]
    data = {"webhook_id": webhook_id, "reason": reason, "mismatches": mismatches or []}
    # The API may learn of a webhook later than we do, so the same body asks again.
    return Outcome("webhook.rejected", data, subject=webhook_id, remembered=False)
