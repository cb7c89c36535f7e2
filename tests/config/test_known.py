"""No line of the log shows a value of the job at hand, whatever the text around it; the fields by which a line is found stay readable."""

from __future__ import annotations

import html
import io
import json
import logging
from contextvars import copy_context
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config import know, mask_known
from config.log_line import LineFormatter
from config.scrub import scrub_field

NAMES = ("phone", "email", "first_name", "last_name", "custom_fields", "name", "group_id", "correlation_id")


def masked(text: str, **arguments: object) -> str:
    """Return the text as a job with these arguments would write it."""

    def write() -> str:
        know(arguments, public={"correlation_id"}, names=NAMES)
        return mask_known(text)

    return copy_context().run(write)


@pytest.mark.parametrize(
    "text",
    [
        "no contact 0470 12 34 56 here",
        "no contact 0470123456 here",
        "no contact 32470123456 here",
        "no contact (0032)470/12.34.56 here",
        "ZEBULONIA is unknown",
        "x_zebulonia_y",
        "Zebulonia&#x27;s friend O&#x27;Quxworthy",
        'in JSON: O\'Quxworthy or "O\\u2019Q"',
        "zebulonia%20x and O%27Quxworthy",
        "user zed.q at markedmail.example",
        "custom Markedville, 12345",
        "strange Strangely",
    ],
)
def test_own_values_are_masked_whatever_the_text(text: str) -> None:
    shown = masked(
        text,
        phone="+32470123456",
        email="zed.q@markedmail.example",
        first_name="Zebulonia Maria",
        last_name="O'Quxworthy",
        custom_fields={"1": "Markedville", "2": 12345},
        Strangely="anything",
    ).casefold()
    for mark in (
        "zebulonia",
        "quxworthy",
        "zed.q",
        "markedville",
        "12345",
        "123456",
        "12 34 56",
        "strangely",
    ):
        assert mark not in shown


@given(
    st.text(min_size=3, max_size=30).map(str.strip).filter(lambda text: len(text) >= 3),
    st.sampled_from([str, html.escape, quote, repr, json.dumps, lambda text: f"<{text}>", str.upper]),
)
def test_any_value_in_any_usual_form(value: str, form) -> None:
    shown = masked(f"begin {form(value)} end", first_name=value, correlation_id="end")
    assert value not in shown.removeprefix("begin ").removesuffix(" end") or value in "•••"
    assert shown.startswith("begin ")


def test_what_a_line_is_looked_up_by_is_shown() -> None:
    def write() -> list[object]:
        know({"name": "contacts", "first_name": "add"}, public=(), names=NAMES)
        return [
            scrub_field("queue", "contacts"),
            scrub_field("job", "add_contact"),
            scrub_field("message_id", "contacts-1"),
            scrub_field("error", "no contacts"),
        ]

    assert copy_context().run(write) == ["contacts", "add_contact", "contacts-1", "no •••"]


def test_lines_of_libraries_and_tracebacks_too() -> None:
    formatter = LineFormatter(io.StringIO(), console=False)

    def write() -> str:
        know({"first_name": "Zebulonia"}, public=(), names=NAMES)
        record = logging.makeLogRecord({"name": "library", "msg": "to %s", "args": ("Zebulonia",)})
        record.to = {"Zebulonia": ["zebulonia", 1]}
        try:
            raise ValueError("not Zebulonia")
        except ValueError as error:
            record.exc_info = (ValueError, error, error.__traceback__)
        return formatter.format(record)

    line = copy_context().run(write)
    assert "zebulonia" not in line.casefold()
    assert json.loads(line)["event"] == "to •••"
    assert "ValueError" in line


def test_a_large_webhook_costs_time_that_grows_with_it_alone() -> None:
    # The values are listed only when a text is masked, and at most 2,000 of them.
    payload = {str(number): f"value {number}" for number in range(10_000)}
    assert masked("all is well", payload=payload) == "all is well"
    assert masked("has value 9999 here", payload=payload) == "has ••• here"
