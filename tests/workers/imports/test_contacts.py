"""Contacts from CSV files: the dialects that spreadsheets save, and the faults of such files."""

from __future__ import annotations

import csv
import re
from functools import partial

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from workers.broker import DeadLetter
from workers.imports.columns import Columns
from workers.imports.contacts import ContactsFile, Row, columns_of
from workers.imports.kept_rows import FailedFile, KeptRows, free_name
from workers.imports.source import UnusableFile


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


#: Characters that make trouble in a file, and parts of contacts.
PARTS = (
    '"', ",", ";", "\t", "\n", "\r\n", "\r", "'", "=", " ", "+32470123456", "Zoë", "\ufeff", "\udcff",
    # Line ends to Python's `splitlines`, but not to a file.
    "\x0b", "\x0c", "\x1c", "\x85", "\u2028",
)  # fmt: skip


@given(
    before=st.sampled_from(["", "sep=;\n", "\ufeff"]),
    header=st.sampled_from(["phone,first_name", "phone;first_name", "phone\tcustomfield1", "phone"]),
    parts=st.lists(st.sampled_from(PARTS), max_size=25),
)
@example(before="", header="phone,first_name", parts=["\r", '"', "+32470123456", '"', "\u2028", "Zoë"])
@example(before="sep=;\n", header="phone;first_name", parts=["\r", "+1", "\r", "+2"])
def test_whatever_a_file_holds_its_rows_are_told_once_in_their_order(tmp_path_factory, before, header, parts):
    """For example, a refused row that contains a Unicode line separator must not be kept as two rows."""
    path = tmp_path_factory.getbasetemp() / "whatever.csv"
    path.write_bytes("".join([before, header, "\n", *parts]).encode("utf-8", "surrogateescape"))
    with ContactsFile(path, "sms") as contacts, KeptRows(None, contacts.columns) as kept:
        last, told = 0, 0
        for row in contacts.rows():
            assert last < row.line <= row.last_line
            last = row.last_line
            told += kept.add(row, "wrong") if row.problem else 1
        assert told <= contacts.most_rows


def test_one_column_is_enough_and_empty_cells_are_left_out(write):
    assert [row.arguments for row in rows(write("Email\na@example.com\n\n  \nb@example.com"), "email")] == [
        {"email": "a@example.com"},
        {"email": "b@example.com"},
    ]
    (row,) = rows(write("email,custom10,first_name,\na@example.com, ,,\n"), "email")
    assert (row.arguments, row.problem) == ({"email": "a@example.com"}, None)


def test_line_numbers_are_those_of_the_file(write):
    found = rows(write('phone,customfield1\n+1,"a\nb\nc"\n\n+2,d\n+3,"e\r\nf"\n+4,g\n'))
    assert [(row.line, row.last_line, row.problem, row.arguments["phone"]) for row in found] == [
        (2, 4, None, "+1"),
        (6, 6, None, "+2"),
        (7, 8, None, "+3"),
        (9, 9, None, "+4"),
    ]
    assert [row.where for row in found[:2]] == ["lines 2 to 4", "line 6"]


@pytest.mark.parametrize("first", ["sep=;", '"sep=;"', "SEP=;  "])
@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_a_line_that_names_the_delimiter_to_a_spreadsheet_is_passed_over(write, first, newline):
    """Otherwise a file exported for Excel is refused, because `sep=` is an unknown column."""
    path = write(newline.join([first, "phone;first_name", "+1;Zoë", '+2;"a"b', "+3;Ann"]))
    with ContactsFile(path, "sms") as contacts:
        assert contacts.most_rows == 3
        for _ in range(2):
            found = [(row.line, row.last_line, row.arguments.get("phone")) for row in contacts.rows()]
            assert found == [(3, 3, "+1"), (4, 4, None), (5, 5, "+3")]
    assert columns_of(path, "sms") == {"phone": "phone", "first_name": "first_name"}


@pytest.mark.parametrize(
    ("content", "refused"),
    [
        # The quote is closed nowhere: the record ends with the file.
        ('+2,"b\n+3,c\n+4,d\n', (3, 5)),
        # The next quote of the file opens a cell, so what follows it is no delimiter.
        ('+2,"b\n+3,c\n+4,"d"\n', (3, 5)),
        # The next quote ends a line, or a cell, but a name contains no line breaks.
        ('+2,"b\n+3,c\n+4,"\n', (3, 5)),
        ('+2,"b\n+3,"\n+4,d\n\n', (3, 4)),
        ('"+2,b\n+3,c\n",d\n', (3, 5)),
        # In a custom field, which may contain line breaks, but no row, and no half of one.
        ('+2,b,"gold\n+3,c,silver\n+4,d,"\n', (3, 5)),
        ('+2,b,"gold\n+3\n"\n', (3, 5)),
        ('+2,b,"gold\n0470,c\n"\n', (3, 5)),
        ('+2,b,"gold\n0470 12 34 56\n0032470123457"\n', (3, 5)),
        ('+2,b,,"must be E.164\n+3,c"\n', (3, 4)),
        ('+2,"b"c\n', (3, 3)),
    ],
)
def test_a_stray_quote_costs_the_lines_that_it_spans_and_never_makes_one_contact_of_them(
    write, content, refused
):
    head = "phone,first_name,customfield1,error\n+1,a\n"
    found = rows(write(f"{head}{content}"))
    assert [(row.line, row.last_line) for row in found if row.problem] == [refused]
    assert "is a quote missing" in str(found[1].problem)
    # The rows after the record are read, and the lines that it swallowed are kept.
    assert [row.line for row in found] == [2, 3, *range(refused[1] + 1, content.rstrip().count("\n") + 4)]
    assert [row.cells for row in found[2:]] == [["+4", "d"]] * (len(found) - 2)
    kept = "".join(cell for row in found[1:] for cell in row.cells)
    assert re.findall(r"\+\d", kept) == re.findall(r"\+\d", content)


def test_a_long_stretch_behind_an_open_quote_is_one_record_and_reading_goes_on(write):
    lines = [f"+{number:09},name {number}" for number in range(20_000)]
    found = rows(write("\n".join(["phone,first_name", '+1,"open', *lines])))
    broken, *others = found
    assert (broken.line, "field limit" in str(broken.problem)) == (2, True)
    assert all(row.problem is None for row in others)
    assert [row.cells[0] for row in others] == [line.split(",")[0] for line in lines[broken.last_line - 2 :]]
    assert list(broken.broken) == ['+1,"open', *lines[: broken.last_line - 2]]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (b"+2,Zo\xeb", "UTF-8"),
        (b"+2,Zo\0", "holds a NUL"),
        (b"+2," + b"x" * 200_000, "field limit"),
        (b"+2,x," + b"," * 300 + b"x" * 3_000_000, "field limit"),
    ],
    ids=["latin-1", "NUL", "long cell", "long line"],
)
def test_a_line_that_is_no_text_or_too_long_costs_one_row_only(write, line, problem):
    found = rows(write("phone,first_name\n+1,Zoë\n".encode() + line + "\n+3,Zoë\n".encode()))
    assert [(row.line, bool(row.problem)) for row in found] == [(2, False), (3, True), (4, False)]
    assert problem in str(found[1].problem)


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
        ("phone\n".encode("utf-16"), "sms", "UTF-16 text; save it as 'CSV UTF-8'"),
        ("phone\n+32470123456\n".encode("utf-16-be"), "sms", "iconv -f UTF-16"),
        (b"PK\x03\x04\x14\0\x06\0\x08\0", "sms", "this is a workbook"),
        (bytes.fromhex("d0cf11e0a1b11ae1") + bytes(60), "sms", "this is a workbook"),
        (b"phone,first_name\0\n", "sms", "the header holds a NUL"),
        (b"phone,pr\xe9nom\n", "sms", "the header is not UTF-8"),
        ("+32470123456,Ada\n", "sms", "unknown columns"),
        ("phone," * 300_000, "sms", "unknown columns: phon"),
    ],
)
def test_a_file_that_cannot_be_imported_is_explained(write, content, channel, sentence):
    with pytest.raises(UnusableFile, match=sentence):
        rows(write(content), channel)


def test_refused_rows_can_be_mended_and_read_again(write, tmp_path):
    source = write('phone;first_name\n+1;"a;\nb"\n+2;"open"x\n+3;Zoë;x\n+4;c\n'.encode() + b"+5;\xff\n")
    target = free_name(source, "refused")
    assert target.name == "people.refused.csv"
    with (
        ContactsFile(source, "sms") as contacts,
        KeptRows(target, contacts.columns) as out,
    ):
        assert not out.created
        for row in contacts.rows():
            out.add(row, row.problem or "wrong")
        assert out.created
    assert target.stat().st_mode & 0o077 == 0
    assert free_name(source, "refused").name == "people.refused-2.csv"
    with target.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
        header, *others = csv.reader(file, delimiter=";")
    assert header == ["phone", "first_name", "error"]
    assert [cells[:2] for cells in others] == [
        ["'+1;\"a;", ""],
        ['b"', ""],
        ['\'+2;"open"x', ""],
        ["+3", "Zoë"],
        ["+4", "c"],
        ["+5", "\udcff"],
    ]
    again = rows(target)
    assert [row.cells[0] for row in again] == [cells[0] for cells in others]
    assert "error" not in again[0].arguments
    # A file that was refused once more keeps one error column.
    columns = Columns.of(";".join(header), "sms", {}, ignore=False)
    with KeptRows(tmp_path / "third.csv", columns) as third:
        third.add(again[0], "still wrong")
    assert (tmp_path / "third.csv").read_text().splitlines()[0] == "phone;first_name;error"
    with pytest.raises(FileExistsError), KeptRows(target, columns) as fourth:
        fourth.add(again[0], "wrong")


def test_a_file_of_failed_rows_is_imported_whatever_the_api_told(write, tmp_path):
    """An API's text with a line break or a NUL made a row of it that `import` refused."""
    told = "no:\r\n- such \x1b[31mgroup\x00"
    kept, later = tmp_path / "kept.csv", tmp_path / "later.csv"
    with (
        ContactsFile(write("phone\n+32470000001\n"), "sms") as contacts,
        KeptRows(kept, contacts.columns) as out,
    ):
        for row in contacts.rows():
            out.add(row, told)
    body = b'{"kwargs":{"channel":"sms","phone":"+32470000001"}}'
    with FailedFile(later) as out:
        out.add(
            DeadLetter("bulk", b"1", "1", "add_contact", "rejected", 301, told, "2026-03-01T00:00:00Z"), body
        )
    for path in (kept, later):
        assert [(row.problem, row.arguments) for row in rows(path)] == [(None, {"phone": "+32470000001"})]


def test_two_imports_of_one_file_at_once_keep_their_rows_in_two_files(tmp_path):
    source = tmp_path / "people.csv"
    source.touch()
    columns = Columns.of("phone", "sms", {}, ignore=False)
    row = Row(2, 2, ["+1"], {})
    # A link that leads nowhere takes its name: nothing can be created there.
    (tmp_path / "people.refused-2.csv").symlink_to("nowhere")
    free = partial(free_name, source, "refused")
    with KeptRows(free(), columns, free) as one, KeptRows(free(), columns, free) as other:
        one.add(row, "wrong")
        other.add(row, "wrong, too")
    assert [kept.path.name for kept in (one, other)] == ["people.refused.csv", "people.refused-3.csv"]
    assert other.path.read_text().splitlines()[1] == '+1,"wrong, too"'
    with pytest.raises(FileExistsError), KeptRows(one.path, columns, lambda: one.path) as third:
        third.add(row, "wrong")
