"""Which column of a file contains which argument."""

from __future__ import annotations

import pytest

from workers.imports.columns import IGNORED, Columns
from workers.imports.source import UnusableFile

HEADER = "Mobile;Naam;Straat;phone\n"


def test_columns_are_taken_by_their_own_names_or_by_those_that_are_given():
    columns = Columns.of(HEADER, "sms", {"MOBILE": "phone", "naam": "first_name"}, ignore=True)
    assert columns.names == ["Mobile", "Naam", "Straat", "phone"]
    # The file's own column `phone` gives way to the one that was given.
    assert columns.holds == ["phone", "first_name", IGNORED, IGNORED]
    assert columns.delimiter == ";"
    plain = Columns.of("CustomField1,,Error,PHONE", "sms", {}, ignore=False)
    assert plain.holds == ["customfield1", "", "error", "phone"]
    assert Columns.of(
        "Name=Full,Mail", "email", {"Mail": "email", "name=full": "last_name"}, ignore=False
    ).holds == [
        "last_name",
        "email",
    ]


@pytest.mark.parametrize(
    ("header", "given", "ignore", "sentence"),
    [
        (HEADER, {}, False, "unknown columns: Mobile, Naam, Straat;"),
        (HEADER, {"Mobile": "phone"}, False, "unknown columns: Naam, Straat, phone;"),
        (HEADER, {"Name": "first_name"}, True, "no column 'Name'; the file has: Mobile, Naam, Straat, phone"),
        ("Mobile;Naam", {}, True, "no column 'phone'; the file has: Mobile, Naam"),
        ("Mobile;mobile;Naam;Naam", {"Mobile": "phone"}, True, "named twice: mobile$"),
        ('"Mobile\n', {"Mobile": "phone"}, True, "header cannot be read"),
        # Without a header, the first contact would be taken for the names of the columns, and lost without a word.
        (
            "+32470000001,Ada",
            {"+32470000001": "phone"},
            True,
            "'\\+32470000001' is a contact, who would be left",
        ),
        ("0470 00.00/01;Ada", {"0470 00.00/01": "phone"}, True, "is a contact.*such as phone,first_name"),
    ],
)
def test_a_header_that_is_of_no_use_is_explained(header, given, ignore, sentence):
    with pytest.raises(UnusableFile, match=sentence):
        Columns.of(header, "sms", given, ignore=ignore)
