"""docs/monitoring tells of every log line and every metric, and of none that there is not."""

from __future__ import annotations

import re
from pathlib import Path

from workers.metrics import METRICS

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "monitoring" / "README.md").read_text(encoding="utf-8")
ROOMS = ("actors", "config", "coupontools", "delivery", "workers")
#: A line is written by a method of a logger, or by what ends the process with one.
_WRITTEN = re.compile(
    r"(?:\blog\.(?:debug|info|warning|error|critical|exception)|_end_at_once)\(\s*\"([a-z_]+\.[a-z_]+)\""
    r"|\"(log\.dropped)\""
)


def documented_lines() -> dict[str, set[str]]:
    """Every line in the table, and the fields that it may have."""
    table = PAGE.partition("## Every log line")[2].partition("### The line of an attempt")[0]
    lines = {}
    for row in re.findall(r"^\| (`.*)\|$", table, re.MULTILINE):
        names, *_, fields = row.split(" | ")
        for name in re.findall(r"`([^`]+)`", names):
            lines[name] = set(re.findall(r"`(\w+)`", fields))
    attempt = PAGE.partition("### The line of an attempt")[2].partition("To follow one job")[0]
    rows = re.findall(r"^\| (`.*?) \|", attempt, re.MULTILINE)
    lines["job.finished"] = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    return lines


def test_every_line_is_in_the_table() -> None:
    written: set[str] = set()
    # log_line.py writes through a method that depends on the outcome.
    for file in (file for room in ROOMS for file in (ROOT / room).rglob("*.py")):
        text = file.read_text(encoding="utf-8")
        written |= {name or other for name, other in _WRITTEN.findall(text)}
    assert len(written) > 30
    lines = set(documented_lines()) - {"job.finished"}
    assert written - lines == set(), "add a row to the table in docs/monitoring/README.md"
    assert lines - written == set(), "docs/monitoring/README.md tells of lines that nobody writes"


def test_every_metric_is_in_a_table() -> None:
    tables = PAGE.partition("## Every metric")[2]
    whole = set(re.findall(r"`((?:coupontools|dramatiq)_\w+)`", tables))
    short = {f"coupontools_queue{name}" for name in re.findall(r"`(_\w+)`", tables)}
    assert whole | short == set(METRICS)
