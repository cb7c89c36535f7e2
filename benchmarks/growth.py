"""Does remembered data cost anything? The same jobs beside a million outcomes and marks, a nearly full stream, a thousand groups."""

from __future__ import annotations

import time
import uuid

from benchmarks.turns import Way, compare
from delivery.task import mark_of
from tests.harness import House

MANY = 1_000_000
BATCH = 10_000
#: Not quite full: a full stream drops an event for each new one, and the length of the stream shows how many jobs were answered.
NEARLY_FULL = MANY - 50_000
WEEK_SECONDS = 7 * 86400


def _remember(place: House) -> None:
    """Write the outcomes and marks that MANY jobs leave (delivery/lua/record.lua and marks.lua)."""
    until = f"{int(time.time()) + WEEK_SECONDS:08x}"
    for start in range(0, MANY, BATCH):
        with place.redis.pipeline(transaction=False) as pipeline:
            for _ in range(start, start + BATCH):
                name = uuid.uuid4()
                record = f"coupontools:job:none:add_contact:{name.hex}"
                pipeline.hset(record, mapping={"s": "done", "fp": name.hex[:16], "o": '["con_12345678"]'})
                pipeline.pexpire(record, WEEK_SECONDS * 1000)
                number, mark = mark_of(str(name))
                pipeline.hset(f"coupontools:marks:{number:x}", mark, until + name.hex[:10])
            pipeline.execute()


def _fill_the_stream(place: House) -> None:
    for _ in range(0, NEARLY_FULL, BATCH):
        with place.redis.pipeline(transaction=False) as pipeline:
            for _ in range(BATCH):
                pipeline.xadd("coupontools:events", {"type": "coupontools.contact.added", "event": "{}"})
            pipeline.execute()


def main() -> None:
    """Measure each by turns with a house whose Redis is empty."""
    compare(
        Way("nothing remembered"),
        Way(f"{MANY:,} outcomes and marks", prepare=_remember),
        Way(f"{NEARLY_FULL:,} events on the stream", prepare=_fill_the_stream),
        Way("1,000 groups", groups=1000),
    )
