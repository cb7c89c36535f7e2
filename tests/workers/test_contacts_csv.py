"""Contacts out of CSV files: what spreadsheets save, and what goes wrong in them."""

from __future__ import annotations

import csv

import pytest

from workers.contacts_csv import ContactsFile, Row, UnusableFile
from workers.refused_csv import RefusedFile, free_name


def rows(path, channel: str = "sms") -> list[Row]:
    with ContactsFile(path, channel) as contacts:
        return list(contacts.rows())


@pytest.fixture
def write(tmp_path):
    def write(content: str | bytes):
        path = tmp_path / "people.csv"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_every_dialect_gives_the_same_contact(write, delimiter, bom, newline):
    lines = [
        delimiter.join(["PHONE", '"First_Name"', " last_name ", "CustomField7"]),
        delimiter.join(["+32470123456", "Zoë", f'"van {delimiter} Beek"', '"two\nlines"']),
    ]
    (row,) = rows(write(bom + newline.join(lines).encode()))
    assert row.problem is None
    assert row.line == 2
    assert row.arguments == {
        "phone": "+32470123456",
        "first_name": "Zoë",
        "last_name": f"van {delimiter} Beek",
        "custom_fields": {"7": "two\nlines"},
    }


def test_one_column_is_enough_and_empty_cells_are_left_out(write):
    assert [row.arguments for row in rows(write("Email\na@example.com\n\n  \nb@example.com"), "email")] == [
        {"email": "a@example.com"},
        {"email": "b@example.com"},
    ]
    (row,) = rows(write("email,custom10,first_name,\na@example.com, ,,\n"), "email")
    assert (row.arguments, row.problem) == ({"email": "a@example.com"}, None)


def test_line_numbers_are_those_of_the_file(write):
    found = rows(write('phone,first_name\n+1,"a\nb\nc"\n\n+2,d\n+3,"e\r\nf"\n+4,g\n'))
    assert [(row.line, row.arguments["phone"]) for row in found] == [
        (2, "+1"),
        (6, "+2"),
        (7, "+3"),
        (9, "+4"),
    ]


def test_a_quote_that_is_never_closed_costs_one_line_only(write):
    found = rows(write('phone,first_name\n+1,a\n+2,"b\n+3,c\n+4,"d"\n+5,e\n+6,"f\n+7,g\n'))
    assert [(row.line, row.arguments.get("phone")) for row in found] == [
        (2, "+1"),
        (3, None),
        (4, "+3"),
        (5, "+4"),
        (6, "+5"),
        (7, None),
        (8, "+7"),
    ]
    assert found[1].cells == ['+2,"b']
    assert "is a quote missing?" in str(found[1].problem)


def test_a_long_stretch_behind_an_open_quote_is_read_again(write):
    lines = [f"+{number:09},name {number}" for number in range(20_000)]
    found = rows(write("\n".join(["phone,first_name", '+1,"open', *lines])))
    assert [row.line for row in found if row.problem] == [2]
    assert [row.cells[0] for row in found[1:]] == [line.split(",")[0] for line in lines]


def test_bytes_that_are_no_utf8_cost_one_row_only(write):
    found = rows(
        write("phone,first_name\n+1,Zoë\n".encode() + "+2,Zoë\n".encode("latin-1") + "+3,Zoë\n".encode())
    )
    assert [bool(row.problem) for row in found] == [False, True, False]
    assert "UTF-8" in str(found[1].problem)


def test_cells_without_a_column_are_told(write):
    found = rows(write("phone,first_name\n+1,a,,\n+2,a,b,c\n+3\n"))
    assert [row.problem for row in found] == [None, "has 2 more cells than the header has names: b, c", None]
    assert found[2].arguments == {"phone": "+3"}


@pytest.mark.parametrize(
    ("content", "channel", "sentence"),
    [
        ("", "sms", "there is no header"),
        ("phone,nickname\n", "sms", "unknown columns: nickname"),
        ("phone,custom1\n", "sms", "customfield7"),
        ("email,custom11\n", "email", "unknown columns: custom11"),
        ("first_name\n", "sms", "there is no column 'phone'"),
        ("phone,Phone\n", "sms", "named twice: phone"),
        ("phone\n".encode("utf-16"), "sms", "not UTF-8"),
        ("+32470123456,Ada\n", "sms", "unknown columns"),
        ("phone," * 300_000, "sms", "line 1, the header, cannot be parsed: it is longer than"),
    ],
)
def test_a_file_that_cannot_be_imported_is_explained(write, content, channel, sentence):
    with pytest.raises(UnusableFile, match=sentence):
        rows(write(content), channel)


@pytest.mark.parametrize("before", ["", '+9,"open\n'], ids=["alone", "within an open quote"])
def test_a_line_too_long_costs_one_row_only(write, before):
    # What is kept of it looks like a contact, and is none.
    long = "+2,Ada" + "," * 300 + "x" * 3_000_000
    found = rows(write(f"phone,first_name\n+1,a\n{before}{long}\n+3,b\n"))
    assert [(row.cells[0][:2], bool(row.problem)) for row in found] == [
        ("+1", False),
        *([("+9", True)] if before else []),
        ("+2", True),
        ("+3", False),
    ]
    refused = found[-2]
    assert "longer than 1,048,576 characters" in str(refused.problem)
    assert len(refused.cells[0]) == 200


def test_refused_rows_can_be_mended_and_read_again(write, tmp_path):
    source = write('phone;first_name\n+1;"a;\nb"\n+2;"open\n+3;Zoë;x\n+4;c\n'.encode() + b"+5;\xff\n")
    target = free_name(source)
    assert target.name == "people.refused.csv"
    with (
        ContactsFile(source, "sms") as contacts,
        RefusedFile(target, contacts.header, contacts.delimiter) as out,
    ):
        assert not out.created
        for row in contacts.rows():
            out.add(row, row.problem or "wrong")
        assert out.created
    assert target.stat().st_mode & 0o077 == 0
    assert free_name(source).name == "people.refused-2.csv"
    with target.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
        header, *others = csv.reader(file, delimiter=";")
    assert header == ["phone", "first_name", "error"]
    assert [cells[:2] for cells in others] == [
        ["+1", "a;\nb"],
        ['+2;"open', ""],
        ["+3", "Zoë"],
        ["+4", "c"],
        ["+5", "\udcff"],
    ]
    again = rows(target)
    assert [row.cells[0] for row in again] == [cells[0] for cells in others]
    assert "error" not in again[0].arguments
    # A file that was refused once more keeps one error column.
    with RefusedFile(tmp_path / "third.csv", header, ";") as third:
        third.add(again[0], "still wrong")
    assert (tmp_path / "third.csv").read_text().splitlines()[0] == "phone;first_name;error"
    with pytest.raises(FileExistsError), RefusedFile(target, header, ";") as fourth:
        fourth.add(again[0], "wrong")
