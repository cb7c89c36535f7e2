"""What the events of a listing say of one that is not whole: what the API counts, and that not all of it is told."""

from __future__ import annotations

import resource
from typing import Any

import pytest

from tests.harness import House, wait_for

CONTACTS = [{"phone": f"+3247000000{number}", "first_name": "Ada"} for number in range(3)]


@pytest.fixture
def at_work(house: House) -> House:
    house.sandbox.add_groups("sms", group_id="gro_1", contacts=CONTACTS)
    house.sandbox.add_groups("sms", group_id="gro_2")
    house.worker()
    return house


def listed(house: House, group_id: str, *shapes: str) -> dict[str, Any]:
    house.sandbox.clear_faults()
    if shapes:
        house.sandbox.faults("shaped", shapes=list(shapes))
    data: dict[str, Any] = house.answer(house.enqueue("list_contacts", channel="sms", group_id=group_id))[
        "data"
    ]
    return data


def test_what_the_api_counts_and_whether_all_of_it_is_told(at_work: House) -> None:
    told = {
        shapes: listed(at_work, group_id, *shapes)
        for group_id, shapes in [
            ("gro_1", ()),
            ("gro_1", ("larger_amount",)),
            ("gro_1", ("amount_in_words",)),
            ("gro_1", ("missing_row",)),
            ("gro_1", ("repeated_row",)),
            ("gro_1", ("null_id",)),
            ("gro_1", ("latin1_byte",)),
            ("gro_1", ("control_byte", "numbered_rows")),
            ("gro_1", ("numbered_rows",)),
            ("gro_2", ("empty_text",)),
            ("gro_2", ("empty_null", "larger_amount")),
        ]
    }
    assert {
        shapes: (data["total"], data["complete"], len(data["contacts"])) for shapes, data in told.items()
    } == {
        (): (3, True, 3),
        ("larger_amount",): (4, False, 3),
        ("amount_in_words",): (3, False, 3),
        ("missing_row",): (3, False, 2),
        ("repeated_row",): (3, False, 3),
        ("null_id",): (3, False, 2),
        ("latin1_byte",): (3, False, 2),
        ("control_byte", "numbered_rows"): (3, False, 2),
        ("numbered_rows",): (3, True, 3),
        ("empty_text",): (0, True, 0),
        ("empty_null", "larger_amount"): (1, False, 0),
    }


def test_groups_that_are_not_all_told(at_work: House) -> None:
    at_work.sandbox.faults("shaped", shapes=["null_id", "amount_with_commas"])
    data = at_work.answer(at_work.enqueue("list_groups", channel="sms"))["data"]
    assert (data["total"], data["complete"], [group["group_id"] for group in data["groups"]]) == (
        2,
        False,
        ["gro_2"],
    )


@pytest.mark.story
def test_of_a_long_listing_whose_worker_is_killed_the_next_one_tells_the_rest(house: House) -> None:
    """The next one listed anew under the same event ids, so that a reader who drops repeats had pages of both listings."""
    house.sandbox.add_groups("sms", group_id="gro_1")
    house.sandbox.add_contacts("sms", "gro_1", count=30_000)
    short: dict[str, Any] = {"WORKER_HEARTBEAT_SECONDS": 2, "COUPONTOOLS_TIMEOUT_SECONDS": 5}
    for _ in range(20):
        worker = house.worker(**short)
        told = house.redis.xlen("coupontools:events")
        message = house.enqueue("list_contacts", channel="sms", group_id="gro_1")
        wait_for(lambda told=told: house.redis.xlen("coupontools:events") > told, what="the first pages")
        worker.kill()
        # It may write all of them between two looks, and is asked again then.
        if house.redis.keys("coupontools:staged:*"):
            break
    # Another listing would tell of this one, too.
    house.sandbox.add_contacts("sms", "gro_1", count=1)
    house.worker(**short)
    wait_for(lambda: len(house.answers(message)) == 60, what="the rest", show=house.log_tail)
    data = [event["data"] for event in house.answers(message)]
    assert [page["page"] for page in data] == list(range(1, 61))
    assert {page["total"] for page in data} == {30_000}
    wait_for(lambda: not house.redis.hlen("dramatiq:reads.msgs"), what="its end")
    assert not house.redis.keys("coupontools:staged:*")


@pytest.mark.story
def test_a_listing_that_cannot_be_kept_on_disk_is_asked_for_again(house: House) -> None:
    """A full TMPDIR ended listings as `internal`, for good."""
    house.sandbox.add_groups("sms", group_id="gro_1")
    house.sandbox.add_contacts("sms", "gro_1", count=8_000)
    worker = house.worker()
    (child,) = worker.children()
    # Less than the pages need, and more than the worker's log.
    _, most = resource.prlimit(child, resource.RLIMIT_FSIZE)
    resource.prlimit(child, resource.RLIMIT_FSIZE, (256 * 1024, most))
    message = house.enqueue("list_contacts", channel="sms", group_id="gro_1")
    wait_for(lambda: len(worker.log_lines("listing.not_kept")) >= 2, what="a second attempt")
    assert house.answers(message) == []
    resource.prlimit(child, resource.RLIMIT_FSIZE, (most, most))
    wait_for(lambda: len(house.answers(message)) == 16, what="all pages", show=house.log_tail)
    assert house.answer(message)["data"]["complete"] is True
    (told, *_) = worker.log_lines("listing.not_kept")
    assert (told["setting"], told["error"]) == ("TMPDIR", "File too large")
