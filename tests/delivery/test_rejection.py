"""The event of a message that is set aside."""

from __future__ import annotations

import json
import time
from dataclasses import replace

from actors.list_groups import ListGroups
from delivery import Receipt, Task, rejection
from delivery.answer import USED_ID, used_id

RECEIPT = Receipt("job", "acks", "bodies", "delayed", "dead", "dead.b", "dead.r", release=lambda: None)
TASK = Task(
    job=ListGroups.model_validate({"channel": "sms"}),
    receipt=RECEIPT,
    message_id="job",
    since=round(time.time() * 1000),
    queue="reads",
    patience=60,
)


def test_a_redis_id_that_is_long_is_told_by_its_beginning_and_a_digest() -> None:
    """The id of an event must stay short, also if the message could be read but its message_id was answered before."""
    long = "x" * 100_000
    task = replace(TASK, receipt=replace(RECEIPT, id=long))
    for _, text in (rejection("reads", long, "no job", b"{}"), *used_id(task, b"{}").events):
        event = json.loads(text)
        shown = event["data"]["redis_message_id"]
        assert (len(shown), shown[:60]) == (92, "x" * 60)
        assert event["id"] == f"reads/{shown}"
    # Two ids that begin alike stay different.
    assert json.loads(rejection("reads", f"{long}y", "no job", None)[1])["data"]["redis_message_id"] != shown


def test_a_redis_id_that_is_short_is_told_whole() -> None:
    _, text = rejection("reads", "x" * 100, "no job", None)
    event = json.loads(text)
    assert event["id"] == f"reads/{'x' * 100}"
    assert event["data"]["raw"] == ""
    # With one character more, the id is cut.
    _, text = rejection("reads", "x" * 101, "no job", None)
    assert len(json.loads(text)["data"]["redis_message_id"]) == 92


def test_of_a_message_that_is_set_aside_so_much_is_shown() -> None:
    for body, shown in ((b"x" * 1000, 1000), (b"x" * 1001, 1000), (b"", 0)):
        event = json.loads(rejection("reads", "a", "no job", body)[1])
        assert len(event["data"]["raw"]) == shown
    assert (
        json.loads(rejection("reads", "a", "no job", b"\xff")[1])["data"]["raw"]
        == "\N{REPLACEMENT CHARACTER}"
    )


def test_a_used_id_leaves_a_letter_that_says_so() -> None:
    reason = json.loads(used_id(TASK, b"{}").reason)
    assert (reason["message_id"], reason["job"], reason["kind"], reason["message"]) == (
        "job",
        "list_groups",
        "unreadable",
        USED_ID,
    )
