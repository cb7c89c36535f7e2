"""Checks the attributes of an event one by one, and its data against its published model."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

from actors import EVENTS

NO_CALL = {"attempts": 0, "replayed": False, "reconciled": False}
ONE_CALL = {"attempts": 1, "replayed": False, "reconciled": False}
RFC_3339_UTC = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")


def check_event(
    event: dict[str, Any],
    kind: str,
    *,
    event_id: str,
    data: dict[str, Any],
    subject: str | None = None,
    key: str | None = None,
    correlation_id: str | None = None,
    keyless: bool = False,
) -> None:
    """Assert that the event has exactly these attributes. Without ``key`` any derived key will do, or none if ``keyless``."""
    moment = event["time"]
    assert RFC_3339_UTC.fullmatch(moment), moment
    assert abs(datetime.fromisoformat(moment) - datetime.now(UTC)) < timedelta(minutes=10)
    EVENTS[kind].model_validate(event["data"], strict=True)
    if key is None and not keyless:
        key = event["idempotencykey"]
        assert re.fullmatch(r"derived:[0-9a-f]{40}", key), key
    optional = {"subject": subject, "correlationid": correlation_id, "idempotencykey": key}
    assert event == {
        "specversion": "1.0",
        "id": event_id,
        "source": "/coupontools-worker",
        "type": f"coupontools.{kind}",
        "time": moment,
        "datacontenttype": "application/json",
        "dataschema": f"urn:coupontools-worker:{kind}:v1",
        "data": data,
        **{name: value for name, value in optional.items() if value is not None},
    }
