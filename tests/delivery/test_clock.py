"""Times in events are those of the calendar."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from delivery.scripts import SCRIPTS
from tests.harness.still_clock import StillClock

ZERO = datetime(1970, 1, 1, tzinfo=UTC)
#: Days at the turns of months and years, and the milliseconds of a day at the turns of seconds, minutes and hours.
DAYS = [
    f"{year}-{day}"
    for year in (1970, 1999, 2000, 2001, 2004, 2026, 2027, 2099, 2100, 2101, 2400)
    for day in (
        "01-01",
        "01-31",
        "02-01",
        "02-28",
        "03-01",
        "04-30",
        "05-31",
        "07-31",
        "08-01",
        "10-31",
        "11-30",
        "12-31",
    )
] + ["2000-02-29", "2024-02-29", "2400-02-29"]
MILLISECONDS = (0, 1, 999, 1000, 59_999, 60_000, 3_599_999, 3_600_000, 86_399_999)


@pytest.mark.parametrize("after", MILLISECONDS)
def test_a_time_in_an_event_is_that_of_the_calendar(still: StillClock, after: int) -> None:
    script = SCRIPTS["size"]
    # Run only the function, without the script around it.
    source = script.source.split("-- size.lua")[0] + "return rfc3339(tonumber(ARGV[1]))"
    for day in DAYS:
        moment = datetime.fromisoformat(f"{day}T00:00:00+00:00") + timedelta(milliseconds=after)
        told = still.redis.eval(source, 0, round((moment - ZERO) / timedelta(milliseconds=1)))
        assert told.decode() == moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
