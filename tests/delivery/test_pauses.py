"""Every pause is defined in delivery/retry.py: how long a job, a look or a hold waits is changed there, and nowhere else."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from delivery.retry import PAUSES_MS
from delivery.scripts import SCRIPTS, load_scripts

ROOT = Path(__file__).parents[2]
#: The scripts that make something wait; clock.lua is a calendar.
WAITING = [
    path for path in (ROOT / "delivery/lua").glob("*.lua") if path.name not in {"pauses.lua", "clock.lua"}
]
WAITING.append(ROOT / "workers/broker/lua/fetch.lua")
#: What a number in a script may be: a unit, or small enough to be a position, a factor or a count.
UNITS = {1000.0, 1_000_000.0}
SMALL = 20
#: How long a lease, a slot or a record lasts is no pause.
LEASED_OR_KEPT = {
    "ledger.py: KEPT_UNKNOWN_SECONDS",
    "policy.py: UNSETTLED_SECONDS",
    "policy.py: HORIZON_LONGEST_MS",
    "policy.py: HORIZON_SHORTEST_MS",
    "policy.py: LEASE_MARGIN_SECONDS",
    "policy.py: SLOT_GRACE_SECONDS",
}
#: How long Redis keeps a key is no pause, and neither is a count.
KEPT = re.compile(r"local [A-Z_, ]*(?:TTL|KEPT|OUTLIVE)_MS\b.* = .*")
COUNT = re.compile(r"local (?!.*_MS\b)[A-Z_]+ = .*")


@pytest.mark.parametrize("path", sorted(WAITING), ids=lambda path: path.name)
def test_a_script_has_no_pause_of_its_own(path: Path) -> None:
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        code = re.sub(r"'[^']*'", "''", line.split("--")[0])
        if KEPT.fullmatch(code.rstrip()) or COUNT.fullmatch(code.rstrip()):
            continue
        found = [float(text) for text in re.findall(r"(?<![\w.])\d+(?:\.\d+)?(?![\w.])", code)]
        odd = [value for value in found if value >= SMALL and value not in UNITS]
        assert not odd, (
            f"{path.name}:{number} has the number {odd[0]:g}. How long something waits is decided in delivery/retry.py: give it a name "
            f"in `Pause`, and write PAUSE.<name> here. How long Redis keeps something is a constant named ..._TTL_MS or ..._KEPT_MS"
        )


def test_no_other_module_of_delivery_has_a_pause_of_its_own() -> None:
    constant = re.compile(
        r"^([A-Z_]+_(?:SECONDS|MS))\b|(?:sleep\(|delay=|max\()(0*\.0*[1-9]\d*)", re.MULTILINE
    )
    told = {
        f"{path.name}: {name or number}"
        for path in (ROOT / "delivery").glob("*.py")
        if path.name != "retry.py"
        for name, number in constant.findall(path.read_text(encoding="utf-8"))
    }
    assert told == LEASED_OR_KEPT, (
        "how long something waits is decided in delivery/retry.py: give it a name in `Pause`"
    )


def test_every_pause_is_somebodys() -> None:
    texts = [
        path.read_text(encoding="utf-8")
        for room in ("delivery", "workers/broker")
        for path in (ROOT / room).rglob("*.*")
        if path.suffix in {".py", ".lua"}
    ]
    used = {name for text in texts for name in re.findall(r"\bP(?:ause|AUSE)\.([a-z]\w*)", text)}
    assert used == PAUSES_MS.keys(), (
        "a pause of delivery/retry.py is used by nobody, or one is used that is not there"
    )


def test_scripts_have_the_numbers_in_place_of_the_names() -> None:
    assert "PAUSE." not in re.sub(r"--.*", "", SCRIPTS["claim"].source)
    assert f"now + {PAUSES_MS['listing_room']}" in SCRIPTS["claim"].source


def test_a_pause_that_is_not_there_fails_at_start(tmp_path: Path) -> None:
    (tmp_path / "one.lua").write_text("return PAUSE.forgotten", encoding="utf-8")
    with pytest.raises(KeyError, match="forgotten"):
        load_scripts(tmp_path)
