"""Before: jobs a minute by outcome, and the age of the oldest unanswered job, over an hour and over two days."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

from starlette.responses import Response

from config.keys import Keys
from config.names import QUEUES
from workers.history import KEPT_MINUTES, History, Minute
from workers.web.chart import Chart, Tick, bars, lines
from workers.web.page import Action, Page, Visit
from workers.web.rendering import age

__all__ = ["PAGE"]

#: The series, each with a colour and pattern, and the outcomes that it adds up.
GROUPS: Final = {
    "succeeded": ("succeeded",),
    "replayed": ("replayed",),
    "rejected or invalid": ("failed:rejected", "failed:invalid", "failed:conflict"),
    "expired or unknown": ("failed:expired", "failed:unknown"),
    "cancelled": ("failed:cancelled",),
    "a fault of ours": ("failed:internal",),
}
#: The pictures: a name, the minutes that it shows, the minutes of one column, and the minutes between two marks.
SPANS: Final = (("the last hour", 60, 1, 10), ("the last two days", KEPT_MINUTES, 30, 360))

_history: Final = History()


def _show(visit: Visit) -> Response:
    this, minutes = _history.read(visit.desk.client, Keys.of(visit.desk.settings))
    pictures = []
    for name, length, width, apart in SPANS:
        span = range(this - length + 1, this + 1)
        # Columns begin at multiples of their width, so that they do not move with every minute.
        columns = [
            [n for n in span if n // width == column] for column in range(span[0] // width, this // width + 1)
        ]
        marks = [
            Tick(i, _clock(column[0], with_day=length > 1440))
            for i, column in enumerate(columns)
            if (column[0] // width * width) % apart == 0
        ]
        pictures.append(
            (name, _answered(minutes, columns, marks), _ages(minutes, columns, marks), _sum(minutes, span))
        )
    return visit.page("before.html", pictures=pictures, groups=list(GROUPS), lanes=QUEUES)


def _answered(minutes: Mapping[int, Minute], columns: list[list[int]], marks: Sequence[Tick]) -> Chart:
    counts = [_by_outcome(minutes, column) for column in columns]
    series = {
        group: [
            sum(count[outcome] for outcome in outcomes) / len(column)
            for count, column in zip(counts, columns, strict=True)
        ]
        for group, outcomes in GROUPS.items()
    }

    def say(i: int) -> str:
        told = ", ".join(
            f"{count:,} {outcome.removeprefix('failed:')}" for outcome, count in counts[i].most_common()
        )
        return f"{_clock(columns[i][0], with_day=True)}: {told}"

    return bars("Jobs answered a minute", series, marks, say)


def _by_outcome(minutes: Mapping[int, Minute], column: Sequence[int]) -> Counter[str]:
    count: Counter[str] = Counter()
    for n in column:
        for (_, outcome), number in minutes[n].answered.items():
            count[outcome] += number
    return count


def _ages(minutes: Mapping[int, Minute], columns: list[list[int]], marks: Sequence[Tick]) -> Chart:
    series = {
        lane: [
            max((minutes[n].ages[lane] for n in column if lane in minutes[n].ages), default=None)
            for column in columns
        ]
        for lane in QUEUES
    }
    return lines("Age of the oldest unanswered job", series, marks, age)


def _sum(minutes: Mapping[int, Minute], span: Sequence[int]) -> dict[str, dict[str, int]]:
    """Return how many jobs had each outcome, by lane: the numbers of the picture."""
    total: dict[str, dict[str, int]] = {}
    for n in span:
        for (lane, outcome), number in minutes[n].answered.items():
            row = total.setdefault(outcome.replace("failed:", "failed: "), {})
            row[lane] = row.get(lane, 0) + number
    return dict(sorted(total.items(), key=lambda item: -sum(item[1].values())))


def _clock(minute: int, *, with_day: bool) -> str:
    return datetime.fromtimestamp(minute * 60, UTC).strftime("%d %b %H:%M" if with_day else "%H:%M")


PAGE: Final = Page("Before", "/before", {"/before": {"GET": Action(_show)}})
