"""Imports that are stopped and go on, and imports whose batch is cancelled meanwhile."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from config import load_settings
from config.keys import Keys
from delivery import batch_key
from tests.harness import House, wait_for
from workers.imports.contacts import ContactsFile
from workers.imports.following import Following
from workers.imports.kept_rows import KeptRows
from workers.imports.options import constant_arguments
from workers.imports.people import People
from workers.imports.progress import BatchCancelled, Stopped
from workers.imports.run import AT_ONCE
from workers.imports.whole import Import


class Stopping:
    """A watcher that, with ``stops``, stops the import once some rows are enqueued."""

    def __init__(self, *, stops: bool) -> None:
        self.signals: list[int] = []
        self._stops = stops

    def read(self, position: int) -> None:
        if self._stops:
            self.signals.append(2)

    def refused(self, where: str, problem: str) -> None:
        raise AssertionError(f"{where}: {problem}")

    def repeated(self, where: str, first: int) -> None:
        raise AssertionError(f"{where} is {first}")

    def say(self, text: str) -> None:
        raise AssertionError(text)

    def answered(self, answers: object) -> None:
        raise AssertionError("nobody waits for answers")


class Cancelling(Stopping):
    """A watcher that cancels the batch, as an operator would, once some rows are enqueued."""

    def __init__(self, house: House) -> None:
        super().__init__(stops=False)
        self._house = house

    def read(self, position: int) -> None:
        assert self._house.run("cancel", "--batch", "spring").returncode == 0


def run(
    house: House,
    file: Path,
    group: str,
    *,
    stops: bool = False,
    list_first: bool = False,
    watcher: Stopping | None = None,
) -> None:
    watcher = watcher or Stopping(stops=stops)
    arguments = constant_arguments(channel="sms", group_id=group, batch_id="spring")
    settings = load_settings(require_credentials=False)
    with (
        ContactsFile(file, "sms") as contacts,
        KeptRows(file.with_suffix(".refused"), contacts.columns) as refused,
    ):
        of = Import(house.redis, settings, People(arguments), list_first=list_first)
        of.carry_out(contacts, refused, watcher, watcher.signals)


def test_one_that_was_stopped_is_not_told_as_finished_before_it_has_gone_on(
    house: House, tmp_path: Path
) -> None:
    """Else a restart of the operators' page during an import causes `batch.finished` for the rows so far, and never for the whole batch."""
    group, file = house.new_group(), tmp_path / "people.csv"
    file.write_text("phone\n" + "".join(f"+3247{number:07}\n" for number in range(AT_ONCE + 20)))
    house.worker(COUPONTOOLS_RATE_LIMIT=0)
    with pytest.raises(Stopped):
        run(house, file, group, stops=True)
    wait_for(lambda: house.tally()["contact.added"] == AT_ONCE, what="the answers of what was enqueued")
    assert json.loads(house.run("batches", "spring", "--json").stdout)["total"] is None
    run(house, file, group, stops=False)
    wait_for(lambda: house.tally()["batch.finished"], what="the end", show=house.log_tail)
    (finished,) = (event for event in house.events() if event["type"] == "coupontools.batch.finished")
    assert finished["data"]["total"] == finished["data"]["succeeded"] == AT_ONCE + 20


def test_one_that_goes_on_to_find_everybody_in_the_group_is_told_as_finished(
    house: House, tmp_path: Path
) -> None:
    """Nothing is left to enqueue, but the import must still set the size of the batch, or `batch.finished` never comes."""
    there = [f"+3247{number:07}" for number in range(AT_ONCE, AT_ONCE + 20)]
    group, file = house.new_group(contacts=[{"phone": number} for number in there]), tmp_path / "people.csv"
    file.write_text(
        "phone\n" + "".join(f"+3247{number:07}\n" for number in range(AT_ONCE)) + "\n".join(there)
    )
    house.worker(COUPONTOOLS_RATE_LIMIT=0)
    with pytest.raises(Stopped):
        run(house, file, group, stops=True)
    wait_for(lambda: house.tally()["contact.added"] == AT_ONCE, what="the answers of what was enqueued")
    run(house, file, group, stops=False, list_first=True)
    wait_for(lambda: house.tally()["batch.finished"], seconds=10, what="the end", show=house.log_tail)
    (finished,) = (event for event in house.events() if event["type"] == "coupontools.batch.finished")
    assert finished["data"]["total"] == finished["data"]["succeeded"] == AT_ONCE
    assert house.counts()["contacts"] == AT_ONCE + 20


def test_one_whose_batch_is_cancelled_enqueues_nobody_more(house: House, tmp_path: Path) -> None:
    """Otherwise the import goes on to its end, and every row is enqueued only to be answered as cancelled."""
    file = tmp_path / "people.csv"
    file.write_text("phone\n" + "".join(f"+3247{number:07}\n" for number in range(3 * AT_ONCE)))
    with pytest.raises(BatchCancelled):
        run(house, file, house.new_group(), watcher=Cancelling(house))
    assert house.redis.llen("dramatiq:bulk") == AT_ONCE
    # No more jobs come, so the batch is finished once these are answered.
    house.worker(COUPONTOOLS_RATE_LIMIT=0)
    wait_for(lambda: house.tally()["batch.finished"], what="the end", show=house.log_tail)
    (finished,) = (event for event in house.events() if event["type"] == "coupontools.batch.finished")
    assert (finished["data"]["total"], finished["data"]["failed"]) == (AT_ONCE, {"cancelled": AT_ONCE})


def test_a_number_that_no_script_has_counted_stops_no_import(house: House) -> None:
    """Anybody may write to the counts of a batch, and Python refuses to read a number of so many digits."""
    keys = Keys.of(load_settings(require_credentials=False))
    counts = {"enqueued": 3, "answered": 1, "succeeded": 1, "replayed": "9" * 5000}
    house.redis.hset(batch_key(keys, "spring"), mapping=counts)
    answers = Following(house.redis, keys, "spring", whole=True).look(3)
    assert (answers.added, answers.waiting) == (1, 2)
