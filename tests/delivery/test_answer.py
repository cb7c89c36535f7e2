"""The settlement of a job: how a long listing is cut into batches, what is remembered, and what events and dead letters contain."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from typing import Any

import orjson
import pytest

from coupontools import Rejected
from delivery import Outcome, Task
from delivery import answer as answers
from delivery.answer import BATCH_BYTES, Failure, Progress, done_in_pages
from delivery.job import Told
from delivery.settlement import Done, EndedUnknown, Failed, MorePages
from tests.harness.records import Make

PROGRESS = Progress(attempts=1)


class Padded:
    """Pages whose events have these sizes in bytes."""

    def __init__(self, task: Task, sizes: list[int], *, size: int = 0) -> None:
        self.count, self.size = len(sizes), size
        self._sizes = sizes
        self._least = len(self._event(task, 1))

    def _event(self, task: Task, page: int) -> str:
        [settled] = done_in_pages(task, Outcome("contacts.listed", {}), OnePage(page), PROGRESS)
        return settled.events[0][1]

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for page, size in enumerate(self._sizes, 1):
            yield {"page": page, "rows": "x" * (size - self._least)}

    def close(self) -> None:
        """Do nothing: there is nothing to free."""


class OnePage:
    """A page without a row."""

    count, size = 1, 0

    def __init__(self, page: int) -> None:
        self._page = page

    def __iter__(self) -> Iterator[dict[str, Any]]:
        yield {"page": self._page, "rows": ""}

    def close(self) -> None:
        """Do nothing: there is nothing to free."""


def pages_of(settlement: MorePages | Done) -> list[int]:
    return [json.loads(event)["data"]["page"] for _, event in settlement.events]


@pytest.mark.parametrize(
    ("sizes", "batches"),
    [
        ([500], [[1]]),
        ([BATCH_BYTES, 500], [[1, 2]]),
        ([BATCH_BYTES + 1, 500], [[1], [2]]),
        ([BATCH_BYTES - 500, 500, 500], [[1, 2, 3]]),
        ([BATCH_BYTES - 499, 500, 500, 500], [[1, 2], [3, 4]]),
        ([BATCH_BYTES + 1, 500, BATCH_BYTES + 1, 500, 500], [[1], [2, 3], [4, 5]]),
        ([BATCH_BYTES + 1, BATCH_BYTES - 500, 500, 500], [[1], [2, 3, 4]]),
    ],
)
def test_a_batch_ends_with_the_page_that_makes_it_longer_than_one_script_takes(
    still_task: Make, sizes: list[int], batches: list[list[int]]
) -> None:
    task = still_task("job")
    outcome = Outcome("contacts.listed", {}, subject="gro_1")
    # Leave room for the subject, which each event has besides its page.
    pages = Padded(task, [size - len(',"subject":"gro_1"') for size in sizes])
    *more, last = done_in_pages(task, outcome, pages, PROGRESS)
    assert isinstance(last, Done)
    # If there are several batches, all are staged before the first is written.
    assert (last.staged, bool(last.events)) == ((True, False) if more else (None, True))
    settled = more or [last]
    assert [pages_of(each) for each in settled] == batches
    assert [sum(len(event) for _, event in each.events) for each in settled] == [
        sum(sizes[page - 1] for page in batch) for batch in batches
    ]
    # A repeated batch is recognised by its number.
    assert [each.batch for each in more if isinstance(each, MorePages)] == list(range(len(more)))
    assert last.outcome
    assert json.loads(last.outcome) == {
        "event": "contacts.listed",
        "pages": len(sizes),
        "subject": "gro_1",
    }
    assert [[json.loads(page)["page"] for page in each.pages or []] for each in settled] == batches


@pytest.mark.parametrize(
    ("key", "size", "remembered"),
    [("mine", 8 * 1024 * 1024, True), ("mine", 8 * 1024 * 1024 + 1, False), (None, 500, False)],
)
def test_a_listing_is_remembered_where_it_has_a_key_and_is_not_too_long(
    still_task: Make, key: str | None, size: int, *, remembered: bool
) -> None:
    task = dataclasses.replace(still_task("job", idempotency_key=key), fingerprint="")
    task.key = key
    [settled] = done_in_pages(task, Outcome("contacts.listed", {}), Padded(task, [500], size=size), PROGRESS)
    assert isinstance(settled, Done)
    assert (settled.outcome is not None, bool(settled.pages)) == (remembered, remembered)


@pytest.mark.parametrize(
    ("form", "outcome", "remembered"),
    [
        (3, {"kept": ("con_1",)}, ["con_1"]),
        (4, {"kept": ()}, []),
        (2, {"kept": ("con_1",)}, {"event": "contact.added", "data": {"x": 1}, "subject": "con_1"}),
        (3, {}, {"event": "contact.added", "data": {"x": 1}, "subject": "con_1"}),
        (3, {"kept": ("con_1",), "remembered": False}, None),
    ],
)
def test_of_an_outcome_so_much_is_remembered_as_others_read(
    still_task: Make, form: int, outcome: dict[str, Any], remembered: Any
) -> None:
    told = Outcome("contact.added", {"x": 1}, subject="con_1", claims="gro_1", **outcome)
    settled = answers.done(still_task("job"), told, PROGRESS, form=form)
    assert (orjson.loads(settled.outcome) if settled.outcome else None) == remembered
    assert (settled.claim, settled.told, settled.lasts) == ("gro_1", None, False)


@pytest.mark.parametrize(
    ("told", "pages", "data"),
    [
        # A whole outcome, as older releases wrote every one; and a listing, as it is written now.
        ({"event": "contact.added", "data": {"x": 1}, "subject": "con_1"}, [], [{"x": 1}]),
        ({"event": "contacts.listed", "pages": 2, "subject": "con_1"}, [1, 2], [{"page": 1}, {"page": 2}]),
        # One of the pages is gone, or all are, or there is one too many.
        ({"event": "contacts.listed", "pages": 2, "subject": "con_1"}, [1], None),
        ({"event": "contacts.listed", "pages": 1, "subject": "con_1"}, [], None),
        ({"event": "contacts.listed", "pages": 1, "subject": "con_1"}, [1, 2], None),
    ],
)
def test_what_is_remembered_is_answered_again(
    still_task: Make, told: dict[str, Any], pages: list[int], data: list[dict[str, Any]] | None
) -> None:
    kept = [orjson.dumps({"page": page}) for page in pages]
    settled = answers.replayed(still_task("job"), told, kept)
    if data is None:
        assert settled is None
        return
    assert settled is not None
    assert (settled.before, settled.owned, settled.counted) == (True, False, "replayed")
    events = [json.loads(text) for _, text in settled.events]
    again = {"attempts": 0, "replayed": True, "reconciled": False}
    assert [event["data"] for event in events] == [each | again for each in data]
    assert {(event["type"], event["subject"]) for event in events} == {
        (f"coupontools.{told['event']}", "con_1")
    }
    assert [event["id"] for event in events] == ([f"job/{page}" for page in pages] or ["job"])


def test_what_is_remembered_in_few_words_is_told_as_the_job_would_have_it(still_task: Make) -> None:
    task = still_task("job")
    settled = answers.replayed(task, ["con_1"], [])
    assert settled is not None
    [(kind, text)] = settled.events
    outcome = task.job.recalled("con_1")
    assert (kind, json.loads(text)["subject"]) == (f"coupontools.{outcome.event}", "con_1")
    assert json.loads(text)["data"] == outcome.data | Progress(replayed=True).data()


def test_a_job_for_which_the_api_need_not_be_asked_is_carried_out_by_its_answer(still_task: Make) -> None:
    task, outcome = still_task("job"), Outcome("contact.added", {"x": 1})
    settled = answers.without_record(task, outcome)
    assert (settled.before, settled.owned, settled.counted) == (False, False, "succeeded")
    [(_, text)] = settled.events
    assert json.loads(text)["data"] == {"x": 1, "attempts": 0, "replayed": False, "reconciled": False}


@pytest.mark.parametrize("lasts", [True, False])
def test_the_answer_to_a_question_is_told_with_how_long_it_holds(still_task: Make, *, lasts: bool) -> None:
    outcome = Outcome("webhook.verified", {}, told=Told({"x": 1}, lasts=lasts))
    settled = answers.done(still_task("job"), outcome, PROGRESS)
    assert (settled.told, settled.lasts) == ('{"x":1}', lasts)


@pytest.mark.parametrize(
    ("kind", "settled_as", "dead"),
    [
        ("rejected", Failed, True),
        ("unknown", EndedUnknown, True),
        # Sending such a job again cannot help.
        ("conflict", Failed, False),
        ("cancelled", Failed, False),
    ],
)
@pytest.mark.parametrize("batch", [None, "spring"])
def test_a_failure_has_an_event_and_a_dead_letter_where_it_helps_to_send_it_again(
    still_task: Make, kind: str, settled_as: type[Failed], batch: str | None, *, dead: bool
) -> None:
    task = still_task("job", batch_id=batch)
    failure = Failure(kind, "why", 514, details=({"field": "x", "message": "y"},))
    settled = answers.failed(task, failure, Progress(attempts=2, reconciled=True))
    assert (type(settled), settled.kind, settled.owned) == (settled_as, kind, True)
    assert not answers.failed(task, failure, PROGRESS, owned=False).owned
    [(event_type, text)] = settled.events
    event = json.loads(text)
    assert event_type == event["type"] == "coupontools.contact.failed"
    assert event["data"] == {
        "job": "add_contact",
        "error": {"kind": kind, "code": 514, "message": "why", "details": [{"field": "x", "message": "y"}]},
        "attempts": 2,
        "replayed": False,
        "reconciled": True,
    }
    assert event.get("batchid") == batch
    assert (settled.reason is not None) is dead
    if settled.reason:
        reason = json.loads(settled.reason)
        assert reason.pop("died_at").endswith("Z")
        assert reason == {
            "message_id": "job",
            "job": "add_contact",
            "kind": kind,
            "code": 514,
            "message": "why",
            **({"batch_id": batch} if batch else {}),
        }


@pytest.mark.parametrize(
    ("error", "failure"),
    [
        (Rejected("no", code=514, status=200), Failure("rejected", "no", 514)),
        (Rejected("no", status=404), Failure("rejected", "no")),
        (Rejected("no", code=514), Failure("rejected", "no", 514)),
        # The API refused nothing: there is no status and no code.
        (Rejected("a fault of ours"), Failure("internal", "a fault of ours")),
        (Rejected("no", code=514, details=("a", "b")), Failure("rejected", "no: a; b", 514)),
    ],
)
def test_what_the_api_refused_is_told_in_its_words(error: Rejected, failure: Failure) -> None:
    assert answers.refusal(error) == failure


def test_a_deadline_that_passed_is_told_with_what_put_the_job_off_last() -> None:
    assert answers.late(answers.EXPIRED, "") is answers.EXPIRED
    told = answers.late(answers.EXPIRED, "no connection")
    assert told == Failure("expired", f"{answers.EXPIRED.message}; last reason: no connection")


def test_a_key_of_another_job_is_told_in_the_job_s_own_words_only_where_it_was_derived(
    still_task: Make,
) -> None:
    given, derived = still_task("job").job, still_task("job", idempotency_key=None).job
    assert answers.conflict(given) is answers.CONFLICT
    assert answers.conflict(derived) == Failure("conflict", derived.conflict)
    assert derived.conflict != answers.CONFLICT.message


def test_an_event_of_a_job_names_what_it_belongs_to(still_task: Make) -> None:
    task = dataclasses.replace(
        still_task("job", correlation_id="c-1"), traceparent="00-1-2-01", original_id="first"
    )
    [(_, text)] = answers.done(task, Outcome("contact.added", {}), PROGRESS).events
    event = json.loads(text)
    assert {
        name: event[name] for name in ("correlationid", "idempotencykey", "traceparent", "originalid")
    } == {
        "correlationid": "c-1",
        "idempotencykey": "job",
        "traceparent": "00-1-2-01",
        "originalid": "first",
    }
    # Fields without a value are left out.
    assert not {"subject", "batchid"} & event.keys()
