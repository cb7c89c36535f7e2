"""How long an answer asks the caller to wait: the `Retry-After` header in both of its forms."""

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

_SECONDS = re.compile(r"[0-9]+(?:\.[0-9]+)?")


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds to wait from now, at least 0; None without a readable header.

    A date is compared with the answer's own `Date` where there is one, so that a clock of ours that is wrong
    does not lengthen the wait (RFC 9110, section 10.2.3). The server may ask for years: the caller sets a bound.
    """
    value = headers.get("retry-after", "").strip()
    # A header that both the application and a proxy before it add comes as "120, 120".
    parts = [part.strip() for part in value.split(",")]
    if all(_SECONDS.fullmatch(part) for part in parts):
        seconds = max(map(float, parts))
        return seconds if math.isfinite(seconds) else None
    until = _date(value)
    if until is None:
        return None
    now = _date(headers.get("date", "")) or datetime.now(UTC)
    return max(0.0, (until - now).total_seconds())


def _date(value: str) -> datetime | None:
    try:
        read = parsedate_to_datetime(value.strip())
    except (ValueError, OverflowError):
        return None
    # "-0000" makes a date without a zone; HTTP dates are all UTC.
    return read if read.tzinfo is not None else read.replace(tzinfo=UTC)
