"""Redaction masks phone numbers, addresses and names wherever they occur, and leaves identifiers and times."""

from __future__ import annotations

import json
import time

import orjson
import pytest
from dramatiq import Message
from hypothesis import given
from hypothesis import strategies as st

from config import redact_text, register_secret
from config.personal import is_personal_key, mask_email, mask_phone
from config.scrub import scrub, scrub_field

phones = st.from_regex(r"\+[1-9][0-9]{6,14}", fullmatch=True)
long_phones = st.from_regex(r"\+[1-9][0-9]{8,14}", fullmatch=True)
emails = st.emails()
anything = st.text(max_size=40)
# Between any two of these, a number without a plus still counts as a phone number.
fences = st.sampled_from(
    ["", " ", "'", '"', ": ", ", ", " (", ") ", "\n", " -> ", "; ", " [", "] ", "/", "tel:"]
)
constants = {"None", "null", "True", "true", "False", "false"}
letters = st.characters(categories=["L"])
names = st.text(alphabet=letters, min_size=3, max_size=30).filter(lambda text: text not in constants)
personal = st.sampled_from(["phone", "email", "first_name", "last_name", "name"])
objects = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.binary(max_size=20) | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8) | st.binary(), inner, max_size=4)
    ),
    max_leaves=12,
)

UNTOUCHED = [
    "550e8400-e29b-41d4-a716-446655440000",
    "12345678-1234-4234-8234-123456789012",
    "gro_123456789",
    "con_123456789012",
    "evt_12345678901234567890",
    "1763841240123-0",
    "2026-11-22T19:54:00.123456Z",
    "2026-11-22T19:54:00+02:00",
    "2026-11-22 19:54:00 +0200",
    "2026-11-22",
    "127.0.0.1:6379",
    "[::1]:26379",
    "d41d8cd98f00b204e9800998ecf8427e",
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "0x7f0123456789",
    "12.123456789012",
    "1763841240.123",
    "pid 1234567",
    "1234567890ms",
    '"message_timestamp": 1763841240123',
    "eta=1763841240123",
    "retry_in_ms=1000000000",
    "dramatiq:contacts.msgs",
    "queue_name='contacts'",
    "actor_name='add_contact'",
    "phone: must be E.164",
    "name == other",
    "phone=None",
]


@given(anything, phones, st.text(alphabet=st.characters(exclude_characters="0123456789"), max_size=40))
def test_no_number_with_a_plus_survives_anywhere(before, phone, after):
    assert phone[1:] not in redact_text(before.rstrip("0123456789") + phone + after)


@given(fences, long_phones, fences)
def test_no_bare_number_survives_between_fences(before, phone, after):
    assert phone[1:] not in redact_text(f"x{before or ' '}{phone[1:]}{after.removeprefix('tel') or ' '}x")


@given(st.lists(st.sampled_from(" -."), min_size=3, max_size=3), anything)
def test_no_spaced_number_survives(separators, before):
    a, b, c = separators
    text = redact_text(f"{before} +32{a}470{b}12{c}3456")
    assert "3456" not in text.removeprefix(redact_text(before))


@given(anything, emails, anything)
def test_no_address_survives_anywhere(before, email, after):
    assert email not in redact_text(before + email + after)


def text_of_a_call(name: str, key: str, form: str) -> str:
    """Return a call with this personal value as libraries write it."""
    message = Message(
        "contacts", "add_contact", (), {"channel": "sms", key: name, "custom_fields": {"1": name}}, {}
    )
    return {
        "repr": str(message),
        "json": json.dumps(message.kwargs),
        "nested json": repr(
            json.dumps({"body": json.dumps(message.kwargs, ensure_ascii=False)}, ensure_ascii=False)
        ),
        "bare": f"add_contact({key}={name})",
        "kwargs": f"kwargs={message.kwargs!r}",
    }[form]


@given(names, personal, st.sampled_from(["repr", "json", "nested json", "bare", "kwargs"]))
def test_no_name_survives_in_the_text_of_a_call(name, key, form):
    # A short name may also occur in the text around it: then the text of a call without the name contains it, too.
    without = redact_text(text_of_a_call("", key, form))
    shown = redact_text(text_of_a_call(name, key, form))
    assert name not in shown or name in without


@given(st.text(max_size=20), st.sampled_from(["'", '"']), st.text(alphabet="ab'\"\\{}[](),= ", max_size=20))
def test_odd_quotes_hide_nothing(before, quote, inner):
    value = quote + "Lovelace" + inner
    assert "Lovelace" not in redact_text(f"{before} first_name={value!r}, group_id='gro_1'")
    assert "Lovelace" not in redact_text(f"{before} custom_fields={ {'1': value}!r}, group_id='gro_1'")


@pytest.mark.parametrize("text", UNTOUCHED)
@pytest.mark.parametrize("frame", ["{}", "id {} done", "({})", "+32470123456 {}", "phone='+32470123456', {}"])
def test_identifiers_and_times_survive(text, frame):
    assert text in redact_text(frame.format(text))


def test_what_a_line_is_found_by_may_be_a_number():
    for key in ("message_id", "redis_message_id", "correlation_id"):
        assert scrub_field(key, "1795389544017") == "1795389544017"
        assert scrub_field(key, "order-1234567890") == "order-1234567890"
        assert scrub_field(key, "for +32470123456") == "for +32•••••56"
        assert scrub_field(key, "ada@example.com") == "a•••@e•••"
    # An idempotency key is often made of the phone number, so the number in it is masked.
    assert scrub_field("idempotency_key", "add 32470123456") == "add 32•••••56"


@given(st.uuids())
def test_every_uuid_survives(value):
    assert redact_text(f"message {value} and {value.hex} of '{value}'") == (
        f"message {value} and {value.hex} of '{value}'"
    )


def test_the_line_that_stock_dramatiq_prints():
    kwargs = {
        "channel": "sms",
        "phone": "+32470123456",
        "first_name": "Ada",
        "custom_fields": {"1": "x, 'y'}"},
    }
    message = Message("contacts", "add_contact", (), {**kwargs, "group_id": "gro_123456789"}, {})
    assert redact_text(f"Failed to process message {message} with unhandled exception.") == (
        "Failed to process message add_contact(channel='sms', phone='+32•••••56', first_name='•••', "
        "custom_fields=•••, group_id='gro_123456789') with unhandled exception."
    )


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("+32470123456", "+32•••••56"),
        ("+32 (0)470 12-34.56", "+32•••••56"),
        ("0032470123456", "00•••••56"),
        ("GET /?phone=%2B32470123456", "GET /?phone=+32•••••56"),
        (r'"\u002b32470123456"', '"+32•••••56"'),
        ("john@doe.com", "j•••@d•••"),
        ("to john%40doe.com.", "to j•••@d•••."),
        ("redis://worker:hunter2x@redis.example:6379/0", "redis://•••@redis.example:6379/0"),
        ("contact_phone='0470 12 34 56'", "contact_phone='04•••••56'"),
        ("{'customfield1': 'secret wish'}", "{'customfield1': '•••'}"),
    ],
)
def test_examples(text, shown):
    assert redact_text(text) == shown


def test_masks_of_what_is_neither_number_nor_address():
    assert mask_phone("12") == "•••"
    assert mask_email("@") == "•••"


def test_secrets_are_replaced_in_every_form():
    register_secret('Zx"9\\/qué')
    for text in ('Zx"9\\/qué', json.dumps('Zx"9\\/qué'), "Zx%229%5C%2Fqu%C3%A9", repr('Zx"9\\/qué')):
        assert "9" not in redact_text(text)
        assert "•••" in redact_text(text)


def test_personal_fields_are_masked_by_their_name():
    line = {
        "phone": "+32470123456",
        "email": "john@doe.com",
        "first_name": "Ada",
        "custom_fields": {"1": "wish"},
        "kwargs": {"a": "Ada"},
        "args": ("Ada",),
        "raw": "{Ada",
        "name": None,
        "count": 123456789012,
        "message_timestamp": 1763841240123,
        "pid": 123456789,
        "number": 32470123456,
        "nested": [{"last_name": "Ada", "to": "+32470123456"}],
    }
    assert scrub(line) == {
        "phone": "+32•••••56",
        "email": "j•••@d•••",
        "first_name": "•••",
        "custom_fields": "•••",
        "kwargs": "•••",
        "args": "•••",
        "raw": "•••",
        "name": None,
        "count": 123456789012,
        "message_timestamp": 1763841240123,
        "pid": 123456789,
        "number": "32•••••56",
        "nested": [{"last_name": "•••", "to": "+32•••••56"}],
    }


@given(objects, st.text(max_size=12))
def test_anything_can_be_written_as_json(value, key):
    orjson.dumps(scrub_field(key, value))


@given(objects, phones, emails)
def test_nothing_personal_survives_inside_values(value, phone, email):
    written = orjson.dumps(scrub([value, {"to": [phone], email: {"x": f"<{email}>"}}])).decode()
    assert phone not in written
    assert email not in written


def test_values_that_cannot_be_shown_or_never_end():
    class Broken:
        def __str__(self) -> str:
            raise RuntimeError("no")

    endless: list[object] = []
    endless.append(endless)
    assert scrub(Broken()) == "<Broken that cannot be shown: RuntimeError>"
    assert "..." in orjson.dumps(scrub(endless)).decode()
    assert scrub("\ud800") == "\\ud800"
    assert scrub(10**30) == str(10**30)
    assert len(scrub("x" * 100_000)) < 70_000


def seconds_of(text):
    """Return the CPU seconds that a look at ``text`` takes."""
    started = time.thread_time()
    redact_text(text)
    is_personal_key.__wrapped__(text)
    return time.thread_time() - started


# Texts that provoke backtracking: a regular expression begins to match at the beginning, goes on through the run, and fails at the end.
BEGINNINGS = ["", "name", "name=x", "name='", "custom_fields=[", "://", "+1", "a@"]
RUNS = [
    " ",
    " \n",
    "\\",
    "\\'",
    "'",
    '"',
    "a",
    "1",
    "1 ",
    "1-",
    "+1",
    "a@",
    ".",
    "(",
    "[{",
    "=",
    "name=",
    "custom1",
    " x=",
]
ENDS = ["", "@", ": x="]


@pytest.mark.parametrize("run", RUNS)
@pytest.mark.parametrize("beginning", BEGINNINGS)
def test_a_text_of_eight_times_the_length_does_not_take_its_square(beginning, run):
    for end in ENDS:
        short, long = (beginning + run * (length // len(run)) + end for length in (1_000, 8_000))
        # Other programs can only slow a look down: take the quickest at the short text, and let one quick look at the long text suffice.
        of_short = min(seconds_of(short) for _ in range(3))
        # Linear time is 8 times as long, quadratic time 64 times.
        assert any(seconds_of(long) < 24 * of_short + 0.001 for _ in range(5))
