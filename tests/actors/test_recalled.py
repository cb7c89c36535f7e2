"""The kept part of an outcome is enough for the same job to rebuild it."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from actors import JOBS
from delivery import Outcome
from delivery.job import Told

SMS = {"channel": "sms", "group_id": "gro_1", "phone": "+32470000001", "first_name": "Ada"}
EMAIL = {"channel": "email", "group_id": "gro_1", "email": "ada@example.com"}
GROUP = {"channel": "sms", "name": "Pizza"}
WEBHOOK: dict[str, Any] = JOBS["verify_webhook"].examples[0]
AS_LISTED = {"contact_id": "con_12345678", "first_name": "ADA", "last_name": None}
RECORD = {"record": {**WEBHOOK["payload"], "webhook": WEBHOOK["payload"]["id"]}}


@pytest.mark.parametrize(
    ("actor", "arguments", "evidence"),
    [
        ("add_contact", SMS, {**AS_LISTED, "first_name": "Ada"}),
        ("add_contact", SMS, AS_LISTED),
        ("add_contact", SMS, {"contact_id": "con_12345678"}),
        ("add_contact", EMAIL, AS_LISTED),
        ("create_group", GROUP, {"group_id": "gro_119251"}),
        ("create_group", GROUP, {"group_id": "gro_119251", "name": "PIZZA"}),
        ("verify_webhook", WEBHOOK, RECORD),
        ("verify_webhook", {"webhook_id": WEBHOOK["payload"]["id"]}, RECORD),
    ],
)
def test_what_is_kept_tells_the_outcome_again(
    actor: str, arguments: dict[str, Any], evidence: dict[str, Any]
) -> None:
    kind = JOBS[actor]
    first, again = kind.parse(arguments), kind.parse({**arguments, "correlation_id": "another service"})
    outcome = first.found(evidence) if kind.effect else first.from_told(evidence)
    assert outcome.remembered
    assert outcome.kept is not None
    assert again.recalled(*orjson.loads(orjson.dumps(outcome.kept))) == outcome


def test_no_argument_is_kept() -> None:
    """Arguments would take most of the memory that a week of successes needs in Redis, and they are personal data."""
    for actor, arguments, evidence in (
        ("add_contact", SMS, {"contact_id": "con_12345678", "first_name": "Ada"}),
        ("create_group", GROUP, {"group_id": "gro_119251"}),
        ("verify_webhook", WEBHOOK, RECORD),
    ):
        job = JOBS[actor].parse(arguments)
        outcome: Outcome = job.found(evidence) if job.effect else job.from_told(evidence)
        kept = orjson.dumps(outcome.kept).decode()
        assert not [each for each in map(str, arguments.values()) if each in kept]
        assert isinstance(outcome.told, Told | None)
