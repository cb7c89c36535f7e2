"""An import that did not begin, or that goes on: it goes to the group that was chosen last, and what was enqueued is never denied."""

from __future__ import annotations

from pathlib import Path

from tests.harness import House
from tests.workers.web.conftest import Open
from tests.workers.web.test_imports import shows, uploaded


async def test_the_group_that_was_chosen_last_is_filled(house: House, page: Open, tmp_path: Path) -> None:
    """That of a first try, which did not begin, was filled instead."""
    wrong, right = house.new_group(contacts=[]), house.new_group(contacts=[])
    async with page(STATE_DIR=tmp_path) as browser:
        await browser.sign_in()
        path = await uploaded(browser, "phone\n+32470123456\n")
        await browser.send(path, {"do": "begin", "group_id": wrong, "present": "skip"}, of=path)
        await shows(browser, path, "no worker runs that takes such jobs")
        house.worker()
        await browser.send(path, {"do": "begin", "group_id": right, "present": "skip"}, of=path)
        await shows(browser, path, "Done: all is answered")
        # The same where both are to be new ones; the first exists by now.
        house.sandbox.faults("envelope", code=514, endpoint="sms/userlist", count=1)
        path = await uploaded(browser, "phone\n+32470123456\n")
        for name in ("Wrong", "Right"):
            await browser.send(path, {"do": "begin", "new_group": name, "present": "skip"}, of=path)
            await shows(browser, path, "that went wrong" if name == "Wrong" else "Done: all is answered")
    groups = {
        event["data"]["name"]: event["data"]["group_id"]
        for event in house.events()
        if event["type"] == "coupontools.group.created"
    }
    added = [event["data"]["group_id"] for event in house.events() if event["type"].endswith("contact.added")]
    assert added == [right, groups["Right"]]
