"""How a moment is written."""

from __future__ import annotations

from config.moments import rfc3339


def test_a_moment_is_told_to_the_millisecond_in_utc() -> None:
    assert rfc3339(1_800_000_000_789.5) == "2027-01-15T08:00:00.789Z"
    assert rfc3339(0) == "1970-01-01T00:00:00.000Z"
    assert rfc3339() > "2026"
