"""The envelope of every event: CloudEvents 1.0 in structured mode.

https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/spec.md
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import orjson

__all__ = ["PREFIX", "SOURCE", "Event", "envelope", "timestamp"]

SOURCE = "/coupontools-worker"
PREFIX = "coupontools."
#: An event as the stream holds it: its type and its JSON.
Event = tuple[str, str]


def timestamp(at: float | None = None) -> str:
    """Return ``at`` (Unix seconds) or now as RFC 3339 in UTC."""
    moment = datetime.now(UTC) if at is None else datetime.fromtimestamp(at, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def envelope(
    kind: str,
    *,
    event_id: str,
    data: dict[str, Any],
    subject: str | None = None,
    correlation_id: str | None = None,
    idempotency_key: str | None = None,
    traceparent: str | None = None,
) -> Event:
    """Return the event of type ``kind`` (after the prefix). Attributes without a value are left out, as CloudEvents asks."""
    event: dict[str, Any] = {
        "specversion": "1.0",
        "id": event_id,
        "source": SOURCE,
        "type": PREFIX + kind,
        "time": timestamp(),
        "datacontenttype": "application/json",
        "dataschema": f"urn:coupontools-worker:{kind}:v1",
    }
    optional = {
        "subject": subject,
        "correlationid": correlation_id,
        "idempotencykey": idempotency_key,
        "traceparent": traceparent,
    }
    event |= {name: value for name, value in optional.items() if value}
    event["data"] = data
    return event["type"], orjson.dumps(event).decode()
