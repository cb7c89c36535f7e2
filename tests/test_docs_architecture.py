"""docs/architecture.md names files; a map with wrong names is worse than none."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
#: The page names some files without their folder, which is one of these.
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


def test_the_files_of_an_add_contact_are_counted() -> None:
    table = PAGE.partition("### Every file that an `add_contact` passes")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| \S+ \((\d+)\) \| (.*) \|$", table, flags=re.MULTILINE)
    files = [re.findall(r"`([\w/]+\.(?:py|lua))`", names) for _, names in rows]
    assert [int(count) for count, _ in rows] == [len(set(names)) for names in files]
    *modules, scripts = files
    told = re.search(r"functions of (\d+) files and (\d+) parts", table)
    assert told is not None
    assert (int(told[1]), int(told[2])) == (sum(map(len, modules)), len(scripts))


def test_the_parts_of_the_scripts_of_an_add_contact_are_on_the_page() -> None:
    (row,) = re.findall(r"^\| scripts \(\d+\) \| (.*) \|$", PAGE, flags=re.MULTILINE)
    parts = {"lua/fetch.lua", "lua/claim.lua", "lua/settle.lua"}
    for script in ("workers/broker/lua/fetch.lua", "delivery/lua/claim.lua", "delivery/lua/settle.lua"):
        text = (ROOT / script).read_text(encoding="utf-8")
        parts |= {f"lua/{name}" for name in re.findall(r"^-- include: (\S+)$", text, flags=re.MULTILINE)}
    assert set(re.findall(r"`(lua/\w+\.lua)`", row)) == parts
