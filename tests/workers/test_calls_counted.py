"""Each call that the API sees stands in one log line and in the metrics, whatever it was for and however its attempt ends."""

from __future__ import annotations

import pytest

from tests.harness import House, wait_for
from tests.workers.metrics.test_exposition import scrape, total


def calls_logged(house: House) -> int:
    """How many calls all lines tell of."""
    return sum(line["api_calls"] for worker in house.workers for line in worker.log_lines("job.finished"))


@pytest.mark.story
def test_calls_of_failed_read_backs_and_of_cut_off_attempts_are_told(house: House, closed_port: int) -> None:
    group = house.new_group()
    house.sandbox.faults("close_after", endpoint="sms/addcontact", count=3)
    house.sandbox.faults("bad_gateway", endpoint="sms/userlist", count=2)
    worker = house.worker(METRICS_PORT=closed_port, SHUTDOWN_SECONDS=1, COUPONTOOLS_TIMEOUT_SECONDS=20)
    people = [{"channel": "sms", "group_id": group, "phone": f"+324700000{n:02}"} for n in range(3)]
    ids = house.enqueue_many("add_contact", people)
    house.wait_answered(ids)
    wait_for(
        lambda: sum(line["outcome"] == "succeeded" for line in worker.log_lines("job.finished")) == 3,
        what="the lines",
        show=house.log_tail,
    )

    seen = house.sandbox.requests()
    listings = [request for request in seen if request["endpoint"] == "sms/userlist"]
    assert len(listings) >= 3
    assert calls_logged(house) == len(seen)
    metrics = scrape(closed_port)
    assert total(metrics, "coupontools_api_calls_total") == len(seen)
    assert total(metrics, "coupontools_read_backs_total") == len(listings)
    assert {line["reconciled"] for line in worker.log_lines("job.finished") if "reconciled" in line} == {True}
    failed = worker.wait_lines("read_back.failed", 2)
    assert len(failed) == 2
    assert set(failed[0]["message_ids"]) <= set(ids)
    wait_for(
        lambda: (
            sorted(one for line in worker.log_lines("read_back.done") for one in line["message_ids"])
            == sorted(ids)
        ),
        what="the lines of what was read back",
        show=house.log_tail,
    )

    # A listing that is read back hangs while the worker is told to stop.
    house.sandbox.faults("close_after", endpoint="sms/addcontact", count=1)
    house.sandbox.faults("hang_before", endpoint="sms/userlist", count=1, seconds=60)
    last = house.enqueue("add_contact", people[0], phone="+32470000099")
    wait_for(lambda: len(house.sandbox.requests()) == len(seen) + 2, what="the hanging listing")
    assert worker.terminate() == 0
    assert calls_logged(house) == len(seen) + 2
    end = [line for line in worker.log_lines("job.finished") if line["message_id"] == last][-1]
    assert (end["outcome"], end["api_calls"]) == ("interrupted", 1)
