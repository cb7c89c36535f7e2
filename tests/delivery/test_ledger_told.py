"""What the ledger passes to its scripts and reads from their answers: how much at once, in which units, and what is left out."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable
from typing import Any

import orjson
import pytest

from config.keys import Keys
from delivery import Ledger, Script, Task, Unknown, Verdict
from delivery.retry import Rests
from delivery.settlement import Done, Lost, MorePages, Replayed, Settlement, Waiting
from delivery.task import short_digest
from tests.harness.records import DAY_MS, EVENT, KEYS, Make
from tests.harness.still_clock import NOW
from tests.harness.sync_ledger import LONG_POLICY, finish

Answer = Callable[[list[Any]], Any]


class Asked:
    """A ScriptRunner that answers as a test says, and notes what it was given."""

    def __init__(self, answer: Answer) -> None:
        self.given: list[tuple[str, list[str], list[Any]]] = []
        self._answer = answer

    async def run(self, script: Script, keys: list[str], args: list[Any]) -> Any:
        self.given.append((script.name, keys, args))
        return self._answer(args)

    async def command(self, *args: Any) -> Any:
        self.given.append(("command", [], list(args)))
        return self._answer(list(args))


def ledger_of(answer: Answer, **policy: Any) -> tuple[Ledger, Asked]:
    asked = Asked(answer)
    return Ledger(asked, Keys(), dataclasses.replace(LONG_POLICY, **policy)), asked


def row(number: int, *, began: int = 5, look_at: int = NOW, baseline: bytes = b"") -> list[bytes]:
    return [
        f"record {number}".encode(), b"7", str(began).encode(), str(look_at).encode(), b"needle", baseline,
        f"m-{number}".encode(), b"1",
    ]  # fmt: skip


# -- What waits for a listing -------------------------------------------------------------------------------------------------


def test_records_that_wait_are_read_five_hundred_at_once_up_to_twenty_thousand() -> None:
    """Otherwise a script would take long, or a listing would look for more calls than it can hold."""
    ledger, asked = ledger_of(
        lambda args: [str(NOW).encode(), *itertools.chain(*(row(args[0] + n) for n in range(args[1])))]
    )
    _, found = finish(ledger.unknowns.of("contacts:sms:gro_1"))
    assert [unknown.record for unknown in found] == [f"record {number}" for number in range(20_000)]
    assert [args for _, _, args in asked.given] == [[start, 500] for start in range(0, 20_000, 500)]
    assert {(name, *keys) for name, keys, _ in asked.given} == {
        ("unknowns", KEYS.unknown("contacts:sms:gro_1"))
    }


def test_records_that_wait_are_read_until_one_is_not_due() -> None:
    """Records come in the order of their next look."""
    pages = iter(
        [
            [b"1000", *row(0, look_at=999), *row(1, look_at=1000)],
            [b"2000", *row(2, look_at=1500), *row(3, look_at=2001)],
        ]
    )
    ledger, asked = ledger_of(lambda _: next(pages))
    began_at, found = finish(ledger.unknowns.of("some"))
    # The look began at the first script's time.
    assert began_at == 1000
    assert [unknown.due for unknown in found] == [True, True, True, False]
    assert [args[0] for _, _, args in asked.given] == [0, 2]


def test_where_nothing_waits_one_script_tells_so() -> None:
    ledger, asked = ledger_of(lambda _: [b"1000"])
    assert finish(ledger.unknowns.of("some")) == (1000, [])
    assert len(asked.given) == 1


@pytest.mark.parametrize(("began", "known"), [(0, 0), (999, 999), (1000, 1000), (1001, 0)])
def test_after_a_clock_that_was_set_back_nobody_knows_when_a_call_began(began: int, known: int) -> None:
    ledger, _ = ledger_of(lambda _: [b"1000", *row(0, began=began, look_at=1001, baseline=b'["gro_1"]')])
    _, found = finish(ledger.unknowns.of("some"))
    told = {"began": known, "due": False, "message_id": "m-0", "another": 1}
    assert found == [Unknown("record 0", 7, "needle", ("gro_1",), **told)]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("count", "sizes"), [(0, [0]), (1, [1]), (500, [500]), (501, [500, 1]), (1000, [500, 500])]
)
def test_verdicts_are_written_five_hundred_at_once_and_the_reader_rests_after_none_too(
    count: int, sizes: list[int]
) -> None:
    ledger, asked = ledger_of(lambda _: NOW)
    verdicts = [
        Verdict(Unknown(f"record {number}", number, "", ()), "found", {"id": number})
        for number in range(count)
    ]
    finish(ledger.unknowns.judge("some", "t1", verdicts, Rests(0.7, 10, 60)))
    told = [args for _, _, args in asked.given]
    assert [args[:4] for args in told] == [["t1", 700, 10_000, 60_000]] * len(sizes)
    assert [(len(args) - 4) // 4 for args in told] == sizes
    assert list(itertools.chain(*(args[4:] for args in told))) == [
        value
        for number in range(count)
        for value in (f"record {number}", number, "found", orjson.dumps({"id": number}))
    ]


# -- A claim and a settlement -------------------------------------------------------------------------------------------------


def told_by_claim(task: Task, **more: Any) -> dict[str, Any]:
    ledger, asked = ledger_of(lambda _: [b"gone", b"0"], secret="mine", rate=10, read_back_after=1.5)
    finish(ledger.claim(task, "t1", **more))
    [(_, _, [arguments])] = asked.given
    told: dict[str, Any] = orjson.loads(arguments)
    return told


def test_a_claim_tells_times_in_milliseconds_and_what_the_job_is(still_task: Make) -> None:
    task = still_task("job", batch_id="spring", patience=60.0)
    assert told_by_claim(task, waiting=["reads"], may_list=False) == {
        "cover": 3_600_000,
        "ttl": DAY_MS,
        "read_back_after": 1500,
        "id": "job",
        "token": "t1",
        "fingerprint": task.fingerprint,
        "derived": False,
        "asked": task.asked,
        "mark": task.mark,
        "effect": True,
        "named": False,
        "since": task.since,
        "deadline": task.deadline,
        # Ninety days, and the time for which the message may wait.
        "life": 90 * DAY_MS + 60_000,
        "interval": 100_000,
        "horizon": 200.0,
        "needle": task.job.needle(),
        "may_list": False,
        "scope": "sms",
        "call": "add_contact",
        "about": task.about,
        "listing": task.listing,
        "place": task.place,
        "question": False,
        "message": "job",
        "batch": "spring",
        "sent": task.since,
        "secret": "mine",
        "worn": False,
        "lane": "contacts",
        "weight": 4,
        "waiting": ["reads"],
    }


def test_a_claim_says_by_itself_that_nothing_else_waits_and_a_listing_has_room(still_task: Make) -> None:
    told = told_by_claim(still_task("job", "list_contacts", idempotency_key=None))
    assert (told["waiting"], told["may_list"]) == ([], True)
    assert (told["needle"], told["batch"], told["effect"], told["weight"]) == ("", "", False, 2)


def test_a_job_that_asks_a_question_says_so(still_task: Make) -> None:
    body = {"id": "evt_1", "type": "coupon_claimed"}
    assert told_by_claim(still_task("job", "verify_webhook", payload=body))["question"] is True


@pytest.mark.parametrize(("deaths", "worn"), [(0, False), (4, False), (5, True), (6, True)])
def test_a_message_with_which_five_workers_died_is_worn(still_task: Make, deaths: int, *, worn: bool) -> None:
    task = still_task("job")
    task.receipt = dataclasses.replace(task.receipt, deaths=deaths)
    assert told_by_claim(task)["worn"] is worn


def told_by_settle(
    task: Task, settlement: Settlement, form: int = 3, **given: Any
) -> tuple[dict[str, Any], list[str]]:
    ledger, asked = ledger_of(lambda _: [b"ok", b""], ttl=given.pop("ttl", LONG_POLICY.ttl))
    ledger.form = lambda: form
    assert finish(ledger.settle(task, "t1", settlement, **given)).answered
    [(_, keys, [arguments])] = asked.given
    told: dict[str, Any] = orjson.loads(arguments)
    return told, keys


@pytest.mark.parametrize(("form", "small"), [(1, False), (2, False), (3, True), (4, True)])
def test_from_the_third_form_on_little_is_left_behind(still_task: Make, form: int, *, small: bool) -> None:
    told, _ = told_by_settle(still_task("job"), Done(events=[EVENT]), form)
    assert told["small"] is small


@pytest.mark.parametrize(("ttl", "kept"), [(DAY_MS / 1000, 8 * DAY_MS), (9 * DAY_MS / 1000, 9 * DAY_MS)])
def test_what_ended_as_unknown_is_kept_longer_than_its_dead_letter(
    still_task: Make, ttl: float, kept: int
) -> None:
    told, _ = told_by_settle(still_task("job"), Lost(), ttl=ttl)
    assert (told["kept"], told["ttl"]) == (kept, round(ttl * 1000))


def test_a_settlement_goes_by_the_deadline_that_the_claim_told_or_by_its_own(still_task: Make) -> None:
    task = still_task("job")
    assert told_by_settle(task, Waiting())[0]["deadline"] == task.deadline
    assert told_by_settle(task, Waiting(), deadline=NOW + 7)[0]["deadline"] == NOW + 7


def test_a_settlement_that_owns_no_record_says_nothing_of_the_job_s(still_task: Make) -> None:
    """The arguments of such a job may not even be readable."""
    body = {"id": "evt_1", "type": "coupon_claimed"}
    for actor, more in (("create_group", {}), ("verify_webhook", {"payload": body}), ("add_contact", {})):
        task = still_task("job", actor, **more)
        told, keys = told_by_settle(task, Replayed(events=[EVENT]))
        assert (told["effect"], told["named"], told["question"], told["needle"]) == (False, False, False, "")
        assert KEYS.none in keys
        told, keys = told_by_settle(task, Done(events=[EVENT], claim="gro_1"))
        job = task.job
        assert (told["effect"], told["named"], told["question"]) == (
            job.effect,
            job.named,
            job.question is not None,
        )
        assert told["needle"] == (job.needle() if job.effect else "")
        assert KEYS.claimed(job.scope, "gro_1") in keys


@pytest.mark.parametrize(("size", "told_size"), [(None, 0), (25, 25)])
def test_an_answer_is_counted_in_its_minute_and_its_batch_and_goes_where_the_caller_waits(
    still_task: Make, size: int | None, told_size: int
) -> None:
    more = {} if size is None else {"batch_size": size}
    task = still_task("job", batch_id="spring", reply_to="shop:4", **more)
    told, _ = told_by_settle(task, Done(events=[EVENT]))
    digest = short_digest("spring")
    assert told["reply"] == KEYS.reply("shop:4")
    assert told["tally"] == [KEYS.minutes, "contacts", "succeeded"]
    assert told["counts"] == {
        "key": KEYS.batch(digest),
        "all": KEYS.batches,
        "digest": digest,
        "id": "spring",
        "lane": "contacts",
        "size": told_size,
        "as": "succeeded",
    }


@pytest.mark.parametrize(
    "settlement",
    [Waiting(), MorePages(events=[EVENT], pages=[], batch=0)],
    ids=["waits", "goes on"],
)
def test_what_is_not_answered_yet_is_not_counted(still_task: Make, settlement: Settlement) -> None:
    told, _ = told_by_settle(still_task("job", batch_id="spring"), settlement)
    assert not {"tally", "counts", "reply"} & told.keys()


def test_a_job_of_no_batch_whose_caller_waits_nowhere_is_counted_alone(still_task: Make) -> None:
    told, _ = told_by_settle(still_task("job"), Done(events=[EVENT]))
    assert not {"counts", "reply", "signal"} & told.keys()
    assert told["tally"] == [KEYS.minutes, "contacts", "succeeded"]


# -- What is read without a script --------------------------------------------------------------------------------------------


def test_all_pages_of_a_remembered_listing_are_read(still_task: Make) -> None:
    task = still_task("job")
    ledger, asked = ledger_of(lambda _: [b"1", b"2"])
    assert finish(ledger.pages(task)) == [b"1", b"2"]
    assert asked.given == [("command", [], ["LRANGE", KEYS.pages("add_contact", task.digest), 0, -1])]


def test_a_message_that_is_gone_has_an_empty_body(still_task: Make) -> None:
    for answer, body in ((b"{}", b"{}"), (None, b"")):
        ledger, _ = ledger_of(lambda _, answer=answer: answer)
        assert finish(ledger.body(still_task("job"))) == body


@pytest.mark.parametrize(("answer", "read"), [([b"150.5", 0], (150.5, True)), ([b"20", 1], (20.0, False))])
def test_a_slot_is_reserved_or_to_be_asked_for_again(answer: list[Any], read: tuple[float, bool]) -> None:
    ledger, asked = ledger_of(lambda _: answer, rate=10)
    assert finish(ledger.reserve("bulk")) == read
    [(_, keys, [lane, interval, horizon])] = asked.given
    assert (keys, interval, horizon) == ([KEYS.pace], 100_000, 200.0)
    assert orjson.loads(lane) == {"lane": "bulk", "weight": 2, "waiting": []}


def test_rows_that_showed_too_little_are_kept_as_long_as_what_is_not_settled() -> None:
    for ttl, life in ((DAY_MS / 1000, 90 * DAY_MS), (91 * DAY_MS / 1000, 91 * DAY_MS)):
        ledger, asked = ledger_of(lambda _: 1, ttl=ttl)
        finish(ledger.unknowns.note_doubtful("some", ["con_1"]))
        assert asked.given == [("doubtful", [KEYS.doubtful("some")], [life, "con_1"])]


def test_a_row_that_was_forgotten_in_between_is_not_told() -> None:
    answers = iter([[b"con_1", b"con_2"], [b"5000", None]])
    ledger, _ = ledger_of(lambda _: next(answers))
    assert finish(ledger.unknowns.doubtful("some")) == {"con_1": 5000}
