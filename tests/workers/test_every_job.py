"""Every job there is, also one that nobody has written a test for: its examples, carried out, and read back when the answer is lost."""

from __future__ import annotations

from typing import Any

import pytest

from actors import JOBS
from coupontools import ENDPOINTS
from tests.harness import House

GROUP, CONTACT = "gro_119251", "con_12345678"


@pytest.fixture(autouse=True)
def account(house: House) -> None:
    """What the examples speak of."""
    for channel in ("sms", "email"):
        made = house.sandbox.add_groups(channel, name="Pizza", group_id=GROUP, contacts=[{}])
        assert channel == "email" or made["contact_ids"] == [CONTACT]
    house.sandbox.settings(email_listing=True)


def outcomes(house: House, wanted: dict[str, list[dict[str, Any]]]) -> dict[str, list[dict[str, Any]]]:
    """Enqueues these arguments of each job; answers its events."""
    ids = {name: [house.enqueue(name, one) for one in many] for name, many in wanted.items()}
    answers = house.wait_answered([one for many in ids.values() for one in many])
    return {name: [event for one in many for event in answers[one]] for name, many in ids.items()}


def test_the_examples_of_every_job_are_carried_out(house: House) -> None:
    house.worker()
    for name, events in outcomes(house, {name: job.examples for name, job in JOBS.items()}).items():
        types = {event["type"].removeprefix("coupontools.") for event in events}
        assert types <= JOBS[name].succeeds.keys(), (name, events)
        assert not any(event["data"]["reconciled"] for event in events), (name, events)


def test_a_lost_answer_of_every_job_that_changes_something_is_found(house: House) -> None:
    jobs = {name: [job.examples[0]] for name, job in JOBS.items() if job.effect}
    for name in jobs:
        endpoints = [each.name for each in ENDPOINTS if each.operation == name]
        assert endpoints, f"coupontools/endpoints.py has no endpoint for {name}"
        for endpoint in endpoints:
            house.sandbox.faults("close_after", endpoint=endpoint, count=1)
    house.worker()
    for name, events in outcomes(house, jobs).items():
        (event,) = events
        assert event["type"].removeprefix("coupontools.") in JOBS[name].succeeds, (name, event)
        assert event["data"]["reconciled"], f"{name} was not read back, or the fault did not strike: {event}"
        assert event["data"]["attempts"] == 1, (name, event)


def test_every_job_that_is_remembered_is_told_again_as_it_was(house: House) -> None:
    """A job that keeps a part of its outcome (`Outcome.kept`) needs its `recalled()`."""
    house.worker()
    jobs = {name: job.examples for name, job in JOBS.items() if job.derives_key}
    first, again = outcomes(house, jobs), outcomes(house, jobs)
    for name, events in again.items():
        for before, after in zip(first[name], events, strict=True):
            assert after["data"]["replayed"] or not JOBS[name].effect, (name, after)
            how = {"attempts", "replayed", "reconciled"}
            assert {key: after["data"][key] for key in after["data"].keys() - how} == {
                key: before["data"][key] for key in before["data"].keys() - how
            }, f"actors/{name}.py: recalled() tells another outcome than the one that was kept"
            assert (after["type"], after.get("subject")) == (before["type"], before.get("subject"))
