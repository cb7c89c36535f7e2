"""Cells that a spreadsheet would run as formulas, and cells that it leaves alone."""

from __future__ import annotations

import csv

import pytest

from workers.imports.contacts import ContactsFile
from workers.imports.formulas import as_meant, as_text
from workers.imports.kept_rows import KeptRows


@pytest.mark.parametrize(
    "cell",
    [
        "=1+1",
        "@SUM(A1)",
        "-1+2",
        "+32-470",
        "+32 470 12 34 56",
        "\tx",
        "\r=x",
        "=",
        "+",
        "-cmd|' /C calc'!A0",
    ],
)
def test_what_would_run_gets_an_apostrophe_and_loses_it_again(cell):
    assert as_text(cell) == f"'{cell}"
    assert as_text(as_text(cell)) == as_text(cell)
    assert as_meant(as_text(cell)) == cell


@pytest.mark.parametrize(
    "cell", ["+32470123456", "-5", "+1,5", "12.5", "", "Ada", "a=b", "'s Gravenhage", "'", "O'-x"]
)
def test_plain_numbers_and_other_text_stay_as_they_are(cell):
    assert as_text(cell) == as_meant(cell) == cell


def test_no_cell_of_a_refused_file_runs_and_all_of_it_can_be_imported_again(tmp_path):
    source, target = tmp_path / "people.csv", tmp_path / "refused.csv"
    source.write_text(
        "phone,first_name,=cmd()\n+32470000001,=HYPERLINK(1),-2+3,=extra(),,more\n@SUM(1),Ada,,,\n"
        '+32470000002,"open,x\n=swallowed(),\n'
    )
    columns = {"=cmd()": "customfield1"}
    with (
        ContactsFile(source, "sms", columns=columns) as contacts,
        KeptRows(target, contacts.columns) as out,
    ):
        first = [row.arguments for row in contacts.rows() if out.add(row, row.problem or "wrong") == 1]
    with target.open(newline="") as file:
        header, *rows = csv.reader(file)
    assert header == ["phone", "first_name", "'=cmd()", "error"]
    assert not [cell for row in rows for cell in row if cell != as_text(cell)]
    # Cells without a column come after the error.
    assert rows[0][3:] == [
        "has 2 more cells than the header has names: =extra(), more",
        "'=extra()",
        "",
        "more",
    ]
    with ContactsFile(target, "sms", columns=columns) as contacts:
        again = list(contacts.rows())
    assert [row.arguments for row in again[:2]] == first
    assert again[0].problem == "has 2 more cells than the header has names: =extra(), more"
    assert again[0].arguments["custom_fields"] == {"1": "-2+3"}
    assert [row.cells[0] for row in again[2:]] == ["'+32470000002,\"open,x", "'=swallowed()"]
