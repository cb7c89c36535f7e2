"""Reading back through a real socket: what a listing tells of lost calls, and when it may say `absent`."""

from __future__ import annotations

from typing import Any

import pytest

from actors.add_contact import AddContact
from actors.create_group import CreateGroup
from coupontools import AccountRefused, Call, Coupontools
from delivery import Unknown

OK = {"status": {"status": "OK"}}
GROUP_ID = "gro_1"


class Claimed:
    """The ledger's side: ids that are some job's answer already."""

    def __init__(self, *ids: str) -> None:
        self._ids = set(ids)

    async def claimed(self, channel: str, name: str) -> set[str]:
        del channel, name
        return set(self._ids)


def unknown(needle: str, *baseline: str) -> Unknown:
    return Unknown(f"record of {needle}", 1, needle, baseline)


def contacts(*phones: str | None, amount: object = None) -> dict[str, Any]:
    rows = [
        {"ID": f"con_{number}"} | ({} if phone is None else {"phone": phone})
        for number, phone in enumerate(phones)
    ]
    counted = str(len(rows)) if amount is None else amount
    return {**OK, "group_id": GROUP_ID, "amount_of_contacts": counted, "contact": rows}


def groups(*names: str, amount: object = None) -> dict[str, Any]:
    rows = [{"ID": f"gro_{number}", "name": name} for number, name in enumerate(names)]
    return {**OK, "amount_of_groups": len(rows) if amount is None else amount, "group": rows}


async def told_of_contacts(api: Coupontools, *needles: str) -> dict[str, str]:
    job = AddContact.model_validate({"channel": "sms", "group_id": GROUP_ID, "phone": "+32470000000"})
    asked = [unknown(needle) for needle in needles]
    verdicts = job.read_back(api, Call(), asked, Claimed())
    return {verdict.unknown.needle: verdict.word async for verdict in verdicts}


async def told_of_group(api: Coupontools, *baseline: str, claimed: tuple[str, ...] = ()) -> Any:
    job = CreateGroup.model_validate({"channel": "sms", "name": "Pizza"})
    asked = [unknown("Pizza", *baseline)]
    verdicts = job.read_back(api, Call(), asked, Claimed(*claimed))
    (verdict,) = [verdict async for verdict in verdicts]
    return verdict.word, verdict.evidence


@pytest.mark.parametrize(
    ("listing", "words"),
    [
        (contacts("32470000001", "32470000009"), ("found", "absent")),
        (contacts("+32 470 00 00 01", "32470000009"), ("found", "absent")),
        (contacts(), ("absent", "absent")),
        # More than were listed: the one that is not there may be among the rest.
        (contacts("32470000001", amount="2"), ("found", "undecided")),
        (contacts(amount=1), ("undecided", "undecided")),
        # An amount that says less than was listed takes nothing away.
        (contacts("32470000001", "32470000009", amount="1"), ("found", "absent")),
        # An amount that cannot be read proves nothing.
        (contacts("32470000001", amount=""), ("found", "undecided")),
        # A row without a phone may be anybody's.
        (contacts("32470000001", None), ("found", "undecided")),
    ],
)
async def test_contacts(wire: Any, connect: Any, listing: dict[str, Any], words: tuple[str, str]) -> None:
    api = connect(await wire.answer(wire.http(200, listing)))
    told = await told_of_contacts(api, "32470000001", "32470000002")
    assert told == dict(zip(("32470000001", "32470000002"), words, strict=True))
    assert len(wire.requests) == 1


async def test_contacts_of_a_group_that_is_not_there_are_absent(wire: Any, connect: Any) -> None:
    errors = {"error_code": [514], "error_message": "HTTP/1.0 422", "error_message_description": ["no group"]}
    api = connect(await wire.answer(wire.http(422, {"status": {"status": "failed", "errors": errors}})))
    assert await told_of_contacts(api, "32470000001") == {"32470000001": "absent"}


async def test_a_listing_that_is_refused_tells_nothing(wire: Any, connect: Any) -> None:
    errors = {"error_code": 1000, "error_message": "HTTP/1.0 401 Unauthorized."}
    api = connect(await wire.answer(wire.http(401, {"status": {"status": "failed", "errors": errors}})))
    with pytest.raises(AccountRefused):
        await told_of_contacts(api, "32470000001")


@pytest.mark.parametrize(
    ("listing", "baseline", "claimed", "word"),
    [
        (groups("Pizza"), (), (), "found"),
        (groups("Burger"), (), (), "absent"),
        (groups("Pizza"), ("gro_0",), (), "absent"),
        (groups("Pizza"), (), ("gro_0",), "absent"),
        (groups("Pizza", " Pizza "), ("gro_0",), (), "found"),
        (groups("Pizza", "Pizza"), (), (), "undecided"),
        # A listing that is not complete tells nothing: the group, or a second one of its name, may be among the rest.
        (groups("Burger", amount=2), (), (), "undecided"),
        (groups("Pizza", amount=2), (), (), "undecided"),
        # So may an older group of the name, where the listing before the call was not complete.
        (groups("Pizza"), ("*",), (), "undecided"),
        (groups("Burger"), ("*",), (), "absent"),
    ],
)
async def test_groups(
    *,
    wire: Any,
    connect: Any,
    listing: dict[str, Any],
    baseline: tuple[str, ...],
    claimed: tuple[str, ...],
    word: str,
) -> None:
    api = connect(await wire.answer(wire.http(200, listing)))
    told, evidence = await told_of_group(api, *baseline, claimed=claimed)
    assert told == word
    if word == "found":
        assert evidence["group_id"] not in {*baseline, *claimed}


@pytest.mark.parametrize(
    ("listing", "noted"),
    [
        (groups("Pizza", "Burger", "Pizza "), ["gro_0", "gro_2"]),
        (groups("Burger"), []),
        (groups("Pizza", amount=3), ["gro_0", "*"]),
    ],
)
async def test_what_stood_before_the_first_call_is_noted(
    wire: Any, connect: Any, listing: dict[str, Any], noted: list[str]
) -> None:
    api = connect(await wire.answer(wire.http(200, listing)))
    job = CreateGroup.model_validate({"channel": "sms", "name": "Pizza"})
    assert await job.baseline(api, Call()) == noted


@pytest.mark.parametrize(
    "listed",
    ["zoë@bücher.example", "Zoë@BÜCHER.example", "zoë@xn--bcher-kva.example", " zoë@bücher.example "],
)
async def test_an_address_is_known_in_each_of_its_forms(wire: Any, connect: Any, listed: str) -> None:
    """One that is not recognised would be taken for absent, and added twice."""
    job = AddContact.model_validate({"channel": "email", "group_id": GROUP_ID, "email": "zoë@bücher.example"})
    document = {**OK, "amount_of_contacts": "1", "contact": [{"ID": "con_1", "email": listed}]}
    api = connect(await wire.answer(wire.http(200, document)))
    (verdict,) = [v async for v in job.read_back(api, Call(), [unknown(job.needle())], Claimed())]
    assert verdict.word == "found"


async def test_a_group_is_known_though_its_name_is_escaped(wire: Any, connect: Any) -> None:
    job = CreateGroup.model_validate({"channel": "sms", "name": "Tom & Zoë"})
    for listed in ("Tom & Zoë", "Tom &amp; Zo&euml;"):
        api = connect(await wire.answer(wire.http(200, groups(listed))))
        (verdict,) = [v async for v in job.read_back(api, Call(), [unknown("Tom & Zoë")], Claimed())]
        assert (verdict.word, verdict.evidence) == ("found", {"group_id": "gro_0"})
        api = connect(await wire.answer(wire.http(200, groups(listed))))
        assert await job.baseline(api, Call()) == ["gro_0"]
