"""What a settlement and a signal pass to settle.lua, and how its answer is read."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from delivery.settlement import (
    NO_CHANGES,
    Changes,
    Done,
    EndedUnknown,
    Failed,
    Lost,
    MorePages,
    NoSettlement,
    Postponed,
    Replayed,
    SetAside,
    Settled,
    Settlement,
    Signal,
    Waiting,
)
from tests.harness.records import EVENT, WELL

WAITS = {"owned": True, "delay": 0, "keep": False, "uncount": False}


@pytest.mark.parametrize(
    ("settlement", "told", "counted"),
    [
        (
            MorePages(events=[EVENT], pages=["{}"], batch=0),
            {"op": "pages", "owned": True, "events": [EVENT], "pages": ["{}"], "batch": 0},
            None,
        ),
        (
            Done(events=[EVENT]),
            {"op": "done", "owned": True, "events": [EVENT], "lasts": False},
            "succeeded",
        ),
        (
            Failed(events=[EVENT], reason=None),
            {"op": "failed", "owned": True, "events": [EVENT], "kind": "internal"},
            "failed:internal",
        ),
        (
            EndedUnknown(events=[EVENT], reason="why", kind="unknown"),
            {"op": "unknown", "owned": True, "events": [EVENT], "reason": "why", "kind": "unknown"},
            "failed:unknown",
        ),
        (
            Replayed(events=[EVENT]),
            {"op": "replay", "owned": False, "events": [EVENT], "before": True},
            "replayed",
        ),
        (
            Replayed(events=[EVENT], before=False),
            {"op": "replay", "owned": False, "events": [EVENT], "before": False},
            "succeeded",
        ),
        (Waiting(), {"op": "wait", **WAITS}, None),
        (Waiting(why="busy", delay=5), {"op": "wait", **WAITS, "why": "busy", "delay": 5}, None),
        (Lost(), {"op": "lost", **WAITS}, None),
        (Postponed(delay=7), {"op": "later", "owned": False, "delay": 7}, None),
        (
            SetAside(events=[EVENT], reason="why"),
            {"op": "rejected", "owned": False, "events": [EVENT], "reason": "why"},
            None,
        ),
        (NoSettlement(), {"op": "signal", "owned": True}, None),
    ],
)
def test_what_is_settled_is_told_whole_and_what_there_is_none_of_is_left_out(
    settlement: Settlement, told: dict[str, Any], counted: str | None
) -> None:
    """In Lua, JSON's null would count as a value."""
    # Called twice, because the names of the fields are cached.
    assert settlement.arguments() == settlement.arguments() == told
    assert settlement.counted == counted


def test_a_call_that_went_well_has_no_more_to_tell_unless_it_asks_for_a_pause() -> None:
    said = {"word": "well", "call": "add_contact", "about": "this one", "channel": "sms", "took": 0}
    assert WELL.arguments() == said
    assert dataclasses.replace(WELL, pause=1).arguments() == {
        **said,
        "scope": "account",
        "code": "",
        "text": "",
        "pause": 1,
        "connect": False,
        "bare": False,
        "lost": False,
        "by_secret": False,
        "worker": "here:1",
    }
    assert Signal(word="none").arguments()["channel"] == "account"


def test_holds_that_began_and_ended_are_read() -> None:
    assert Changes.read(b"") is NO_CHANGES
    assert Changes.read(b"{}") == Changes()
    assert Changes.read(b'{"began":[{"scope":"sms"}]}') == Changes(began=({"scope": "sms"},))
    assert Changes.read(b'{"ended":[{"scope":"sms"}]}') == Changes(ended=({"scope": "sms"},))


@pytest.mark.parametrize(
    ("ours", "used", "answered"), [(True, False, True), (True, True, False), (False, False, False)]
)
def test_a_message_is_answered_where_it_was_ours_and_its_id_was_not_used(
    *, ours: bool, used: bool, answered: bool
) -> None:
    settled = Settled(ours=ours, used=used)
    assert (settled.answered, settled.changes) == (answered, NO_CHANGES)
