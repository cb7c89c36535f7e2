"""How a claim's answer is read, verb by verb; a field that the answer does not have keeps its default."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from delivery.claim import Claim

#: The fields of a claim whose answer has only the verb and the deadline.
SILENT = {
    "deadline": 9000,
    "attempts": 0,
    "reconciled": False,
    "wait": 0,
    "lease": 0,
    "outcome": b"",
    "baseline": None,
    "evidence": b"",
    "probe": False,
    "reason": "",
    "hold": "",
    "turn": "",
    "owned": True,
    "lost_at": None,
}


@pytest.mark.parametrize(
    ("verb", "rest", "told"),
    [
        ("gone", [], {}),
        ("answered", [], {}),
        ("used", [], {}),
        ("conflict", [], {}),
        (
            "call",
            [2, b"1", b"1.5", 40_000, b'["gro_1","gro_2"]', b"1"],
            {
                "attempts": 2,
                "reconciled": True,
                "wait": 1.5,
                "lease": 40_000,
                "baseline": ("gro_1", "gro_2"),
                "probe": True,
            },
        ),
        ("call", [1, b"0", b"0", 40_000, b"", b"0"], {"attempts": 1, "lease": 40_000}),
        # An empty baseline: somebody looked, and there was no group of the name before the call.
        ("call", [1, b"0", b"0", 40_000, b"[]", b"0"], {"attempts": 1, "lease": 40_000, "baseline": ()}),
        ("parked", [b"sms/refused"], {"hold": "sms/refused"}),
        ("benched", [b"700"], {"wait": 700}),
        ("paced", [b"50.5", b"reads"], {"wait": 50.5, "turn": "reads"}),
        ("deferred", [b"busy", b"200"], {"reason": "busy", "wait": 200}),
        ("replay", [b"[]"], {"outcome": b"[]"}),
        ("cancelled", [3, b"1", b"0"], {"attempts": 3, "reconciled": True, "owned": False}),
        ("expired", [3, b"0", b"1", b"no connection"], {"attempts": 3, "reason": "no connection"}),
        ("unknown", [3, b"0", b"1", b"cut \xc3"], {"attempts": 3, "reason": "cut \N{REPLACEMENT CHARACTER}"}),
        ("worn", [3, b"0", b"1", b""], {"attempts": 3}),
        ("found", [2, b"{}"], {"attempts": 2, "reconciled": True, "evidence": b"{}"}),
        ("told", [2, b"{}"], {"attempts": 2, "evidence": b"{}"}),
        ("read_back", [2, b"1", b"5000"], {"attempts": 2, "probe": True, "lost_at": 5000}),
        ("read_back", [2, b"0", b""], {"attempts": 2}),
    ],
)
def test_an_answer_says_this_and_nothing_else(verb: str, rest: list[Any], told: dict[str, Any]) -> None:
    claim = Claim.read([verb.encode(), b"9000", *rest])
    assert dataclasses.asdict(claim) == {"verb": verb, **SILENT, **told}


def test_before_there_is_an_answer_no_deadline_is_in_force() -> None:
    assert Claim("none").deadline == 0


def test_an_answer_that_nobody_knows_is_a_fault() -> None:
    with pytest.raises(ValueError, match="maybe"):
        Claim.read([b"maybe", b"9000"])
