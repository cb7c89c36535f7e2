"""docs/architecture.md names files; a map with wrong names is worse than none."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
#: Files that the line of a job names beside the one they are reached from.
BESIDE = ("workers/broker", "actors", "delivery")


def test_every_file_that_the_page_names_is_there() -> None:
    named = set(re.findall(r"[\w/]+\.(?:py|lua|toml)\b", PAGE))
    assert len(named) > 20
    missing = [
        name for name in named if not any((ROOT / folder / name).exists() for folder in (".", *BESIDE))
    ]
    assert missing == [], "docs/architecture.md names files that are not there"


def test_every_room_is_on_the_page() -> None:
    rooms = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"tests", "benchmarks"}
    assert rooms == set(re.findall(r"^\| `(\w+)/` \|", PAGE, flags=re.MULTILINE))
