"""A server fails, or sends an answer twice: with a real worker, each job has one effect and one true answer."""

from __future__ import annotations

from typing import Any

import pytest

from tests.harness import House


def contacts(count: int) -> list[dict[str, Any]]:
    """Return the arguments of ``count`` different add_contact jobs."""
    return [{"channel": "sms", "group_id": "gro_1", "phone": f"+3247{number:07d}"} for number in range(count)]


def added(house: House, count: int) -> list[dict[str, Any]]:
    """Enqueue ``count`` jobs, check that each added its contact once and answered with its id, and return the data of the answers."""
    house.sandbox.add_groups("sms", group_id="gro_1")
    house.worker()
    answers = house.wait_answered(house.enqueue_many("add_contact", contacts(count)), seconds=60)
    events = [event for events in answers.values() for event in events]
    assert {event["type"] for event in events} == {"coupontools.contact.added"}
    held = {f"+{entry['phone']}": entry["contact_id"] for entry in house.sandbox.state()["contacts"]}
    assert {event["data"]["phone"]: event["data"]["contact_id"] for event in events} == held
    assert (len(events), house.counts()["contacts"], house.counts()["surplus_contacts"]) == (count, count, 0)
    return [event["data"] for event in events]


@pytest.mark.parametrize("carry_out", [False, True])
@pytest.mark.parametrize(("code", "status"), [(503, 503), (0, 500), (0, 200)])
def test_the_envelope_of_a_failing_server(house: House, code: int, status: int, *, carry_out: bool) -> None:
    fault = {"code": code, "status": status, "message": "HTTP/1.0 500 Internal Server Error"}
    house.sandbox.faults("envelope", endpoint="sms/addcontact", count=5, carry_out=carry_out, **fault)
    data = added(house, 20)
    assert sum(answer["reconciled"] for answer in data) >= (5 if carry_out else 0)


def test_left_over_answers(house: House) -> None:
    house.sandbox.faults("left_over", endpoint="sms/addcontact", probability=0.1, seed=7)
    data = added(house, 300)
    assert any(answer["reconciled"] for answer in data)
