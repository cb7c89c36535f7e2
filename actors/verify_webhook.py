"""verify_webhook: asks the API whether a received webhook is genuine. Coupontools signs nothing, so existence and fields are compared."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar, Literal

from pydantic.config import JsonDict

from actors.arguments import Payload, WebhookId
from actors.event_data import ONE_CALL, Answer, Data
from actors.job import Job
from actors.problems import ArgumentError
from coupontools import Call, Coupontools, Rejected
from coupontools.webhooks import Facts, compare, denies, facts, identify, names, recorded_facts
from delivery import Outcome, Told

__all__ = ["VerifyWebhook"]

#: The API knows no such webhook; vendor's document, "Verification".
WEBHOOK_NOT_FOUND = 509
#: The most characters of a differing value that a mismatch repeats.
LONGEST_ECHO = 1000
#: A webhook for the published schemas.
_EXAMPLE: JsonDict = {
    "id": "evt_01234567890123456789",
    "type": "coupon_claimed",
    "datetime": "2020-12-01 01:23:45",
    "campaign": "cam_12345",
    "session": "012345678901234567890",
}


class WebhookVerified(Answer):
    """The API knows the webhook, and every field that can be compared agrees."""

    examples: ClassVar = [
        {
            "webhook_id": "evt_01234567890123456789",
            "webhook_type": "coupon_claimed",
            "datetime": "2020-12-01T01:23:45Z",
            "campaign": "cam_12345",
            "session": "012345678901234567890",
            "payload": _EXAMPLE,
            "checked": ["id", "type", "datetime", "campaign", "session"],
            **ONE_CALL,
        }
    ]

    webhook_id: str
    webhook_type: str | None
    datetime: str | None
    campaign: str | None
    session: str | None
    payload: dict[str, Any] | None
    checked: list[str]


def _echo(value: object) -> object:
    """Return a value as a mismatch repeats it, cut: a forged webhook must not fill the stream."""
    text = value if isinstance(value, str) else json.dumps(value)
    return value if len(text) <= LONGEST_ECHO else f"{text[:LONGEST_ECHO]}… ({len(text):,} characters)"


class Mismatch(Data):
    """A field in which the webhook differs from the API's answer."""

    field: str
    received: Any
    expected: Any


class WebhookRejected(Answer):
    """The API does not know the webhook, or a field differs: treat it as forged."""

    examples: ClassVar = [
        {
            "webhook_id": "evt_01234567890123456789",
            "reason": "mismatch",
            "mismatches": [{"field": "campaign", "received": "cam_99999", "expected": "cam_12345"}],
            **ONE_CALL,
        }
    ]

    webhook_id: str
    reason: Literal["not_found", "mismatch", "unverifiable"]
    mismatches: list[Mismatch]


class VerifyWebhook(Job):
    """Asks the API whether a received webhook is genuine."""

    examples: ClassVar = [{"payload": _EXAMPLE}, {"webhook_id": "evt_01234567890123456789"}]

    actor = "verify_webhook"
    queue = "webhooks"
    succeeds: ClassVar = {"webhook.verified": WebhookVerified, "webhook.rejected": WebhookRejected}
    failed = "webhook.failed"
    # JSON Schema cannot say that two ids must agree.
    together = (
        {
            "anyOf": [
                {"required": ["payload"], "properties": {"payload": {"type": "object"}}},
                {"required": ["webhook_id"], "properties": {"webhook_id": {"type": "string"}}},
            ]
        },
    )

    payload: Payload | None = None
    webhook_id: WebhookId | None = None

    @classmethod
    def problems_together(cls, given: Mapping[str, Any]) -> list[ArgumentError]:
        """Return a problem if no webhook is given, or two different ones."""
        payload, webhook_id = given.get("payload"), given.get("webhook_id")
        if payload is None and webhook_id is None:
            return [ArgumentError("payload", "is required unless webhook_id is given")]
        if (
            webhook_id is not None
            and isinstance(payload, dict)
            and payload.get("id", webhook_id) != webhook_id
        ):
            return [ArgumentError("webhook_id", "differs from the payload's id; give one of the two")]
        return []

    @property
    def subject(self) -> str | None:
        """The webhook's id."""
        return self.webhook_id or identify(self.payload or {})

    @property
    def body(self) -> dict[str, Any]:
        """The webhook as received, or its id alone."""
        return self.payload if self.payload is not None else {"id": self.webhook_id}

    def without_call(self) -> Outcome | None:
        """Return "unverifiable" for a body whose id is no ``evt_`` id: the API cannot be asked about it."""
        return self._rejected("unverifiable") if identify(self.body) is None else None

    @property
    def question(self) -> str | None:
        """The API is asked about the id alone, so all bodies with one id share its answer."""
        return f"webhook:{self.body['id']}"

    async def call(self, api: Coupontools, call: Call) -> Outcome:
        """Ask for the webhook, and compare every field that both sides have."""
        record = await api.webhooks.verify(self.body["id"], call)
        known = not denies(record)
        return replace(self._judged(record), told=Told({"record": record}, lasts=known))

    def from_told(self, evidence: dict[str, Any]) -> Outcome:
        """Compare with the API's answer to another job."""
        return self._rejected("not_found") if evidence["record"] is None else self._judged(evidence["record"])

    def _judged(self, record: Mapping[str, Any]) -> Outcome:
        body = self.body
        if denies(record):
            return self._rejected("not_found")
        if self.payload is None:
            # An OK that does not name the webhook may be about another one.
            if not names(record, body["id"]):
                return self._rejected("unverifiable")
            return self._verified(recorded_facts(record), record, [])
        comparison = compare(self.payload, record)
        if comparison.mismatches:
            return self._rejected(
                "mismatch",
                [
                    {"field": m.field, "received": _echo(m.received), "expected": _echo(m.expected)}
                    for m in comparison.mismatches
                ],
            )
        # We sent the id ourselves: if the answer repeats only that, it says nothing about the body.
        if not set(comparison.checked) - {"id"}:
            return self._rejected("unverifiable")
        return self._verified(facts(self.payload), self.payload, list(comparison.checked))

    def refused(self, error: Rejected) -> Outcome | None:
        """Return "not_found" as the job's outcome: that the API does not know the webhook is an answer, not a failure."""
        if error.code != WEBHOOK_NOT_FOUND:
            return None
        return replace(self._rejected("not_found"), told=Told({"record": None}, lasts=False))

    def _verified(self, told: Facts, said: Mapping[str, Any], checked: list[str]) -> Outcome:
        moment = said.get("datetime") or said.get("date")
        moment = moment if isinstance(moment, str) else None
        return self.recalled(told.webhook_type, moment, told.campaign, told.session, checked)

    def recalled(self, *kept: Any) -> Outcome:
        """The webhook that was verified."""
        webhook_type, moment, campaign, session, checked = kept
        data = {
            "webhook_id": self.body["id"],
            "webhook_type": webhook_type,
            "datetime": moment,
            "campaign": campaign,
            "session": session,
            "payload": self.payload,
            "checked": checked,
        }
        return Outcome("webhook.verified", data, subject=self.body["id"], kept=kept)

    def _rejected(self, reason: str, mismatches: list[dict[str, Any]] | None = None) -> Outcome:
        data = {"webhook_id": self.body["id"], "reason": reason, "mismatches": mismatches or []}
        # The API may learn of a webhook later than we do, so the same body asks again.
        return Outcome("webhook.rejected", data, subject=self.body["id"], remembered=False)
