"""Reading back through a real socket: which verdict a listing gives on a lost call, and when it may be `absent`."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import pytest

from actors.add_contact import AddContact
from actors.create_group import MOST_OLDER, CreateGroup
from actors.likeness import REMEMBERED
from coupontools import AccountRefused, Call, Coupontools, MayHaveHappened
from delivery import Unknown

OK = {"status": {"status": "OK"}}
GROUP_ID = "gro_1"
#: When the tests' listings are read (ms).
NOW = 1000


class Known:
    """Stands for the ledger: ids that are some job's answer already, and rows that showed too little in an earlier look."""

    def __init__(self, *claimed: str, doubtful: Mapping[str, int] | None = None) -> None:
        self._claimed = set(claimed)
        self.rows = dict(doubtful or {})

    async def claimed(self, channel: str, ids: Iterable[str]) -> set[str]:
        del channel
        return self._claimed & set(ids)

    async def doubtful(self, listing: str) -> dict[str, int]:
        del listing
        return dict(self.rows)

    async def note_doubtful(self, listing: str, ids: list[str]) -> None:
        del listing
        self.rows = {row_id: self.rows.get(row_id, NOW) for row_id in ids}


def unknown(needle: str, *baseline: str, began: int = 1) -> Unknown:
    return Unknown(f"record of {needle}", began + 1, needle, baseline, began)


def contacts(*phones: str | None, amount: object = None) -> dict[str, Any]:
    rows = [
        {"ID": f"con_{number}"} | ({} if phone is None else {"phone": phone})
        for number, phone in enumerate(phones)
    ]
    counted = str(len(rows)) if amount is None else amount
    return {**OK, "group_id": GROUP_ID, "amount_of_contacts": counted, "contact": rows}


def groups(*names: str | None, amount: object = None) -> dict[str, Any]:
    rows = [{"ID": f"gro_{number}", "name": name} for number, name in enumerate(names)]
    return {**OK, "amount_of_groups": len(rows) if amount is None else amount, "group": rows}


async def told_of_contacts(api: Coupontools, *needles: str) -> dict[str, str]:
    job = AddContact.model_validate({"channel": "sms", "group_id": GROUP_ID, "phone": "+32470000000"})
    asked = [unknown(needle) for needle in needles]
    verdicts = job.read_back(api, Call(), asked, Known())
    return {verdict.unknown.needle: verdict.word async for verdict in verdicts}


async def told_of_group(api: Coupontools, *baseline: str, claimed: tuple[str, ...] = ()) -> Any:
    job = CreateGroup.model_validate({"channel": "sms", "name": "Pizza"})
    asked = [unknown("Pizza", *baseline)]
    verdicts = job.read_back(api, Call(), asked, Known(*claimed))
    (verdict,) = [verdict async for verdict in verdicts]
    return verdict.word, verdict.evidence


@pytest.mark.parametrize(
    ("listing", "words"),
    [
        (contacts("32470000001", "32470000009"), ("found", "absent")),
        (contacts("+32 470 00 00 01", "32470000009"), ("found", "absent")),
        (contacts(), ("absent", "absent")),
        # The amount says that rows are missing: a contact that is not listed may be one of them.
        (contacts("32470000001", amount="2"), ("found", "undecided")),
        (contacts(amount=1), ("undecided", "undecided")),
        # An amount that is lower than the number of rows changes nothing.
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
        # An incomplete listing proves nothing: the group, or a second one of its name, may be among the missing rows.
        (groups("Burger", amount=2), (), (), "undecided"),
        (groups("Pizza", amount=2), (), (), "undecided"),
        # The listing before the call was incomplete, so this group may be older than the call.
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
    """A contact whose address is not recognised would be taken for absent, and added twice."""
    job = AddContact.model_validate({"channel": "email", "group_id": GROUP_ID, "email": "zoë@bücher.example"})
    document = {**OK, "amount_of_contacts": "1", "contact": [{"ID": "con_1", "email": listed}]}
    api = connect(await wire.answer(wire.http(200, document)))
    (verdict,) = [v async for v in job.read_back(api, Call(), [unknown(job.needle())], Known())]
    assert verdict.word == "found"


async def told_of(
    job: Any, wire: Any, connect: Any, listing: dict[str, Any], *asked: Unknown, known: Any = None
) -> Any:
    api = connect(await wire.answer(wire.http(200, listing)))
    return [verdict async for verdict in job.read_back(api, Call(), list(asked), known or Known())]


@pytest.mark.parametrize(
    ("needle", "row", "word"),
    [
        ("32470000567", "0032470000567", "found"),
        ("32470000567", "+0032 470 00 05 67", "found"),
        ("32470000567", "\u202a+32 470\u2011000\u2011567\u202c", "found"),
        ("32470000567", "&#43;32470000567", "found"),
        ("32470000567", "'0470000567'", "undecided"),
        ("32470000567", "2147483647", "undecided"),
        ("32470000567", "4294967295", "undecided"),
        ("32470000567", "3.247E+10", "undecided"),
        ("32470000567", "32470000567 x12", "undecided"),
        ("32470000567", "32470000567#12", "undecided"),
        ("32470000567", "32470000568, 32470000567", "undecided"),
        ("32470000567", "tel. 32470000567", "undecided"),
        ("32470000567", "32*****567", "undecided"),
        ("32470000567", "32xxxxx567", "undecided"),
        ("32470000567", "32.....567", "undecided"),
        ("32470000567", "*******567", "undecided"),
        ("32470000567", "0470***567", "undecided"),
        ("32470000567", "32**00**567", "undecided"),
        ("32470000567", "0470000567", "undecided"),
        ("32470000567", "470000567", "undecided"),
        ("32470000567", "+32 (0)470 00 05 67", "undecided"),
        ("32470000567", "33470000567", "undecided"),
        ("32470000567", "324700005", "undecided"),
        ("32470000567", "04700005", "undecided"),
        ("32470000567", "n/a", "undecided"),
        ("32470000567", "Ada", "undecided"),
        ("32470000567", "32470000567 / 32470000568", "undecided"),
        # These are certainly another contact's.
        ("32470000567", "32*****568", "absent"),
        ("32470000567", "33*****567", "absent"),
        ("32470000567", "32**11**567", "absent"),
        ("32470000567", "0471***567", "absent"),
        ("32470000567", "0470000568", "absent"),
        ("32470000567", "32470000568", "absent"),
    ],
)
async def test_a_number_in_another_dress(wire: Any, connect: Any, needle: str, row: str, word: str) -> None:
    """If the contact's own row were taken for somebody else's, the contact would be added twice."""
    job = AddContact.model_validate({"channel": "sms", "group_id": GROUP_ID, "phone": f"+{needle}"})
    (verdict,) = await told_of(job, wire, connect, contacts(row), unknown(job.needle()))
    assert verdict.word == word


@pytest.mark.parametrize(
    ("address", "row", "word"),
    [
        ("ada@faß.de", "ada@xn--fa-hia.de", "found"),
        ("ada@faß.de", "ADA@FAß.de", "found"),
        ("o'brien@example.com", "o&#039;brien@example.com", "found"),
        ("o'brien@example.com", "o\\'brien@example.com", "found"),
        ("o'brien@example.com", "o&amp;#039;brien@example.com", "found"),
        ("strauß@example.com", "STRAUẞ@example.com", "found"),
        ("ada@example.com", "\u200bada@example.com.", "found"),
        ("strauß@example.com", "strauÃŸ@example.com", "undecided"),
        ("strauß@example.com", "strau?@example.com", "undecided"),
        ("strauß@example.com", "strauss@example.com", "absent"),
        ("ada@faß.de", "ada@fass.de", "absent"),
        ("ada@example.com", "a***@example.com", "undecided"),
        ("ada@example.com", "a***@e******.com", "undecided"),
        ("ada@bücher.example", "a***@bü******", "undecided"),
        ("ada@example.com", "ada@exam...", "undecided"),
        ("ada@example.com", "ada@example.co", "undecided"),
        ("ada@example.com", "Ada <ada@example.com>", "undecided"),
        ("ada@example.com", "ada", "undecided"),
        ("ada@example.com", "a___@example.com", "undecided"),
        # Signs are doubled, replaced or dropped.
        ("o'brien@example.com", "o''brien@example.com", "undecided"),
        ("o'brien@example.com", "O\u2019Brien@example.com", "undecided"),
        ("o'brien@example.com", "'obrien@example.com", "undecided"),
        ("zoë@bücher.example", "zo@bcher.example", "undecided"),
        ("ada+news@example.com", "ada@example.com", "undecided"),
        ("ada+news@example.com", "ada+more@example.com", "absent"),
        ("ada@example.com", "ada+news@example.com", "absent"),
        ("ada@example.com", "ada@example.com.au", "absent"),
        ("ada@example.com", "b***@example.com", "absent"),
        ("ada@example.com", "a***@g***.com", "absent"),
        ("ada@example.com", "bob...", "absent"),
        ("ada@example.com", "bob@example.com", "absent"),
    ],
)
async def test_an_address_in_another_dress(
    wire: Any, connect: Any, address: str, row: str, word: str
) -> None:
    job = AddContact.model_validate({"channel": "email", "group_id": GROUP_ID, "email": address})
    listing = contacts(None)
    listing["contact"][0]["email"] = row
    (verdict,) = await told_of(job, wire, connect, listing, unknown(job.needle()))
    assert verdict.word == word


async def test_a_listing_of_another_group_tells_nothing(wire: Any, connect: Any) -> None:
    job = AddContact.model_validate({"channel": "sms", "group_id": GROUP_ID, "phone": "+32470000001"})
    for listing in (contacts("32470000001"), contacts("32470000002")):
        with pytest.raises(MayHaveHappened, match="another group"):
            await told_of(job, wire, connect, listing | {"group_id": "gro_2"}, unknown("32470000001"))


async def test_a_row_that_comes_twice_stands_for_one_that_is_missing(wire: Any, connect: Any) -> None:
    job = AddContact.model_validate({"channel": "sms", "group_id": GROUP_ID, "phone": "+32470000001"})
    listing = contacts("32470000002", "32470000002")
    listing["contact"][1]["ID"] = listing["contact"][0]["ID"]
    (verdict,) = await told_of(job, wire, connect, listing, unknown("32470000001"))
    assert verdict.word == "undecided"


@pytest.mark.parametrize("row", [None, "32*****001", "0470000001", "33470000001"])
async def test_a_row_that_stood_there_before_the_call_is_not_the_one(
    wire: Any, connect: Any, row: str | None
) -> None:
    """Otherwise one contact without a number would leave every lost call of its group undecided, for ever."""
    job = AddContact.model_validate({"channel": "sms", "group_id": GROUP_ID, "phone": "+32470000001"})
    known = Known()
    (first,) = await told_of(job, wire, connect, contacts(row), unknown(job.needle()), known=known)
    later = unknown(job.needle(), began=NOW + 1)
    (second,) = await told_of(job, wire, connect, contacts(row), later, known=known)
    (third,) = await told_of(job, wire, connect, contacts(row, row), later, known=known)
    assert (first.word, second.word, third.word) == ("undecided", "absent", "undecided")


async def test_rows_are_remembered_with_a_bound(wire: Any, connect: Any) -> None:
    job = AddContact.model_validate({"channel": "sms", "group_id": GROUP_ID, "phone": "+32470000001"})
    known, many = Known(), contacts(*[None] * (REMEMBERED + 1))
    for began in (1, NOW + 1):
        (verdict,) = await told_of(job, wire, connect, many, unknown(job.needle(), began=began), known=known)
        assert (verdict.word, len(known.rows)) == ("undecided", REMEMBERED)
    await told_of(job, wire, connect, contacts("32470000002"), unknown(job.needle()), known=known)
    assert known.rows == {}


async def test_a_contact_that_was_found_is_told_as_it_is_listed(wire: Any, connect: Any) -> None:
    arguments = {"phone": "+32470000001", "first_name": "Ada", "last_name": "Lovelace"}
    job = AddContact.model_validate({"channel": "sms", "group_id": GROUP_ID, **arguments})
    listing = contacts("32470000001")
    listing["contact"][0] |= {"first_name": "ADA", "last_name": ""}
    (verdict,) = await told_of(job, wire, connect, listing, unknown(job.needle()))
    data = job.found(verdict.evidence).data
    assert (data["phone"], data["first_name"], data["last_name"]) == ("+32470000001", "ADA", None)


@pytest.mark.parametrize(("unsubscribed", "contact_id"), [("10", "con_1"), ("01", "con_0"), ("00", "con_0")])
async def test_of_two_rows_of_a_contact_the_one_that_unsubscribed_is_not_told(
    wire: Any, connect: Any, unsubscribed: str, contact_id: str
) -> None:
    job = AddContact.model_validate({"channel": "sms", "group_id": GROUP_ID, "phone": "+32470000001"})
    listing = contacts("32470000001", "32470000001")
    for row, flag in zip(listing["contact"], unsubscribed, strict=True):
        row["unsubscribed"] = flag
    (verdict,) = await told_of(job, wire, connect, listing, unknown(job.needle()))
    assert (verdict.word, job.found(verdict.evidence).subject) == ("found", contact_id)


@pytest.mark.parametrize(
    ("name", "row", "word"),
    [
        ("Tom & Zoë", "Tom & Zoë", "found"),
        ("Tom & Zoë", "Tom &amp; Zo&euml;", "found"),
        ("Tom & Zoë", "Tom &amp;amp; Zoë", "found"),
        ("Tom &amp; Zoë", "Tom & Zoë", "found"),
        ("Tom & Zoë", " Tom  & Zoë ", "found"),
        ("Zoë's", "Zoë\\'s", "found"),
        ("Zoë's", "Zoë\\\\'s", "found"),
        ("Tom & Zoë", None, "undecided"),
        ("Tom & Zoë", "TOM & ZOË", "undecided"),
        ("Tom & Zoë", "Tom &amp", "undecided"),
        ("Tom & Zoë", "Tom & Z…", "undecided"),
        ("Tom & Zoë", "Tom & Zo?", "undecided"),
        ("Zoë's friends", "Zoë\\", "undecided"),
        ("Zoë's friends", "ZoÃ«'s friends", "undecided"),
        ("Zoë's friends", "ZoÃƒÂ«'s friends", "undecided"),
        ("Zoë's friends", "Zoe's friends", "undecided"),
        ("Zoë's friends", "Zoës friends", "undecided"),
        ("Tom & Zoë", "Tom & Zoé", "absent"),
    ],
)
async def test_a_group_in_another_dress(
    wire: Any, connect: Any, name: str, row: str | None, word: str
) -> None:
    job = CreateGroup.model_validate({"channel": "sms", "name": name})
    listing = groups("Burger", row)
    (verdict,) = await told_of(job, wire, connect, listing, unknown(job.needle()))
    assert verdict.word == word
    if word == "found":
        assert verdict.evidence == {"group_id": "gro_1", "name": row and row.strip()}
        assert job.found(verdict.evidence).data["name"] == row.strip()  # type: ignore[union-attr]
    # A group that was there before the call, or is another job's answer, is not this job's.
    api = connect(await wire.answer(wire.http(200, listing)))
    noted = await job.baseline(api, Call())
    assert noted == ([] if word == "absent" else ["gro_1"])
    (verdict,) = await told_of(job, wire, connect, listing, unknown(job.needle(), *noted))
    assert verdict.word == "absent"
    (verdict,) = await told_of(job, wire, connect, listing, unknown(job.needle()), known=Known("gro_1"))
    assert verdict.word == "absent"


async def test_of_too_many_nameless_groups_none_is_told(wire: Any, connect: Any) -> None:
    job = CreateGroup.model_validate({"channel": "sms", "name": "Pizza"})
    listing = groups(*[None] * 3000)
    api = connect(await wire.answer(wire.http(200, listing)))
    noted = await job.baseline(api, Call())
    assert (len(noted), noted[-1]) == (MOST_OLDER + 1, "*")
    (verdict,) = await told_of(job, wire, connect, listing, unknown("Pizza", *noted))
    assert verdict.word == "undecided"


async def test_many_lost_calls_in_a_group_of_cut_numbers_hold_up_nobody(wire: Any, connect: Any) -> None:
    """Comparing each call with each row would take minutes."""
    job = AddContact.model_validate({"channel": "sms", "group_id": GROUP_ID, "phone": "+32470000001"})
    listing = contacts(*[f"324{number:06d}" for number in range(20_000)])
    asked = [unknown(f"324{number:06d}99") for number in range(10_000, 30_000)]
    # Measure CPU time: other programs may take most of the machine.
    before = time.process_time()
    words = Counter(verdict.word for verdict in await told_of(job, wire, connect, listing, *asked))
    assert time.process_time() - before < 20
    assert words["undecided"] >= 10_000


async def test_of_two_names_that_are_cut_alike_none_is_told(wire: Any, connect: Any) -> None:
    """If the API cuts names, the group may be either job's. A longer name in the listing shows that it does not."""
    job = CreateGroup.model_validate({"channel": "sms", "name": "Pizza Ma"})
    asked = unknown("Pizza Ma"), unknown("Pizza Margherita")
    words = [verdict.word for verdict in await told_of(job, wire, connect, groups("Pizza Ma"), *asked)]
    assert words == ["undecided", "undecided"]
    listing = groups("Pizza Ma", "Pizza Hawaii")
    words = [verdict.word for verdict in await told_of(job, wire, connect, listing, *asked)]
    assert words == ["found", "undecided"]
    listing = groups("Pizza Ma", "Pizza Margherita")
    words = [verdict.word for verdict in await told_of(job, wire, connect, listing, *asked)]
    assert words == ["found", "found"]


def test_one_name_is_one_name_however_it_is_spelled() -> None:
    """Two jobs whose names the API shows alike must go one after the other, or each would take the other's group for its own."""
    names = [
        CreateGroup.model_validate({"channel": "sms", "name": name}) for name in ("R&D", "R&amp;D", "r&d")
    ]
    assert len({job.taken_name() for job in names}) == 1
    assert [job.needle() for job in names] == ["R&D", "R&D", "r&d"]


def test_one_address_is_one_contact_however_it_is_spelled() -> None:
    def key(email: str) -> str | None:
        return AddContact.model_validate({"channel": "email", "group_id": GROUP_ID, "email": email}).key

    assert key("Ada@faß.de") == key("ada@xn--fa-hia.de") != key("ada@fass.de")
    assert key("strauß@example.com") != key("strauss@example.com")
