"""The published schemas: fresh, named as events name them, and of one mind with the worker about what is a job."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from referencing import Registry, Resource

from actors import EVENTS, JOBS, InvalidJob
from tests.harness import House
from tests.harness.contract import check_events
from tests.harness.house import message
from workers.asyncapi import contract_files
from workers.broker.entries import Unreadable, read_entry

FOLDER = Path(__file__).parents[2] / "docs/contract"
FILES = contract_files(version("coupontools-worker"))
SCHEMAS = {name: schema for name, schema in FILES.items() if name != "asyncapi.json"}
REGISTRY: Registry[Any] = Registry().with_resources(
    (schema["$id"], Resource.from_contents(schema)) for schema in SCHEMAS.values()
)
ACTORS = {actor: (job.queue, *job.also) for actor, job in JOBS.items()}
ABSENT = object()


def _pattern(validator: Any, pattern: str, instance: Any, _: Any) -> Iterator[jsonschema.ValidationError]:
    """As ECMA-262, which JSON Schema asks for, reads a `$`: the end alone, not the line break before it."""
    if validator.is_type(instance, "string") and not re.search(re.sub(r"\$$", r"\\Z", pattern), instance):
        yield jsonschema.ValidationError(f"{instance!r} does not match {pattern!r}")


Validator = jsonschema.validators.extend(jsonschema.Draft202012Validator, {"pattern": _pattern})


def validator(name: str) -> Any:
    """What tells whether something is as the schema of this file says."""
    return Validator(SCHEMAS[name], registry=REGISTRY)


def test_the_files_are_fresh():
    there = {path.relative_to(FOLDER).as_posix() for path in FOLDER.rglob("*.json")}
    assert there == set(FILES), "run make contract"
    for name, document in FILES.items():
        assert json.loads((FOLDER / name).read_text()) == document, f"run make contract: {name}"


def test_each_schema_is_one_and_is_named_as_events_name_it():
    for name, schema in SCHEMAS.items():
        jsonschema.Draft202012Validator.check_schema(schema)
        assert schema["title"]
        kind = Path(name).name.removesuffix(".v1.json")
        assert schema["$id"] == f"urn:coupontools-worker:{kind}:v1"
        assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
        assert schema["examples"]
        for example in schema["examples"]:
            validator(name).validate(example)
    assert {f"jobs/{actor}.v1.json" for actor in JOBS} | {f"events/{kind}.v1.json" for kind in EVENTS} < set(
        SCHEMAS
    )


def test_events_may_get_more_fields_and_jobs_may_not():
    for name, schema in SCHEMAS.items():
        of_event = name.startswith("events/")
        more = {**schema["examples"][0], "more": 1}
        assert validator(name).is_valid(more) is (of_event or name == "envelopes/event.v1.json"), name


RIGHT: dict[str, list[dict[str, Any]]] = {
    "add_contact": [
        {"channel": "sms", "group_id": "gro_119251", "phone": "+32470123456"},
        {"channel": "email", "group_id": "gro_a", "email": "ada@example.com"},
    ],
    "create_group": [{"channel": "sms", "name": "Pizza"}, {"channel": "email", "name": "Pizza"}],
    "verify_webhook": [{"payload": {"id": "evt_1"}}, {"webhook_id": "evt_1"}],
    "list_groups": [{"channel": "sms"}],
    "list_contacts": [{"channel": "email", "group_id": "gro_1"}],
}
#: Values that each argument is given in turn, with the others right.
VALUES: dict[str, list[Any]] = {
    "channel": ["sms", "email", "SMS", "", None, 1, ABSENT],
    "group_id": ["gro_1", "gro_" + "a" * 64, "gro_" + "a" * 65, "gro_", "gro_1\n", "gro_é", "119251", 119251, None, ABSENT],
    "phone": [
        "+32470123456", "+32 (470) 12.34-56", " +1234567", "+123456", "+123456789012345", "+1234567890123456",
        "0470123456", "+0470123456", "+32 (0)470 12 34 56", "+32 ( 0 )470123456", "+32470123456\n", "+3247012345x",
        "", 32470123456, None, ABSENT,
    ],
    "email": [
        "ada@example.com", " ada@example.com ", "a.b+c@sub.example.com", "zoë@exämple.com", "test@test.test", "ada@localhost",
        "ada", "ada@", "@example.com", "ada@@example.com", "a..b@example.com", ".a@example.com", "a b@example.com",
        "ada@example..com", "", 1, None, ABSENT,
    ],
    "first_name": ["Ada", "", "  ", "x" * 255, "x" * 256, " " * 300, " " + "x" * 255 + "\n", 1, [], None, ABSENT],
    "last_name": ["Lovelace", "x" * 256, {}, None],
    "custom_fields": [
        {}, {"1": "x"}, {"7": "x"}, {"8": "x"}, {"10": "x"}, {"11": "x"}, {"0": "x"}, {"01": "x"}, {"a": "x"}, {"1": "x" * 1000},
        {"1": "x" * 1001}, {"1": 1}, {"1": None}, {"1": "x", "8": "y"}, [], "x", None, ABSENT,
    ],
    "name": ["Pizza", "x", " x ", "x" * 255, "x" * 256, " " + "x" * 255 + " ", "", "  ", "\n", 1, None, ABSENT],
    "payload": [
        {"id": "evt_1"}, {"id": "922"}, {"id": "e" * 100}, {"id": "e" * 101}, {"id": ""}, {"id": 1}, {"id": None}, {}, [], "x",
        {"id": "evt_1", "deep": {"list": [1, 1.5, None, True]}}, None, ABSENT,
    ],
    "webhook_id": ["evt_1", "evt_" + "a" * 96, "evt_" + "a" * 97, "evt_", "evt_1\n", "922", "", 1, None, ABSENT],
    "idempotency_key": ["k", "x" * 255, "x" * 256, "", "a b", "é", "a\nb", "a\n", "\x00", "\x7f", "\xa0", "\u200b", "\u2028", 1, None],
    "correlation_id": ["c", "x" * 256, "", "\t", 1, None],
    "deadline_seconds": [1, 10**9, 300.0, 0, 0.0, -1, 1.5, "1", True, None],
    "batch_id": ["b", "", 1, None],
    "batch_size": [1, None],
    "reply_to": ["orders:42", "a" * 255, "a" * 256, "a b", "a\n", "", 1, None],
    "unknown": [1, None],
}  # fmt: skip


def jobs() -> Iterator[tuple[str, dict[str, Any]]]:
    """Several hundred jobs, right and wrong: each argument with each value."""
    for actor, rights in RIGHT.items():
        for right in rights:
            for argument, values in VALUES.items():
                for value in values:
                    given = {**right, argument: value}
                    yield actor, {name: value for name, value in given.items() if value is not ABSENT}


def test_schema_and_worker_agree_about_every_job():
    verdicts = []
    for actor, arguments in jobs():
        says = validator(f"jobs/{actor}.v1.json").is_valid(arguments)
        try:
            JOBS[actor].parse(arguments)
            does = True
        except InvalidJob:
            does = False
        # A webhook's two ids must agree, which no schema can say.
        if set(arguments) >= {"payload", "webhook_id"} and says and not does:
            assert arguments["payload"]["id"] != arguments["webhook_id"]
            continue
        assert says == does, (actor, arguments)
        verdicts.append(does)
    assert verdicts.count(True) > 150
    assert verdicts.count(False) > 500


@pytest.mark.parametrize(
    "arguments",
    [
        {"channel": "sms", "group_id": "gro_1"},
        {"channel": "sms", "group_id": "gro_1", "phone": "+32470123456", "email": "ada@example.com"},
        {"channel": "sms", "group_id": "gro_1", "phone": "+32470123456", "custom_fields": {"8": "x"}},
        {"channel": "sms", "group_id": "gro_1", "phone": "+32470123456", "batch_size": 5},
        {"channel": "sms", "group_id": "gro_1", "phone": "+32470123456", "batch_size": 0, "batch_id": "b"},
        {"channel": "email", "group_id": "gro_1"},
        {"channel": "email", "group_id": "gro_1", "email": "ada@example.com", "phone": "+32470123456"},
    ],
)
def test_what_does_not_fit_the_channel_is_wrong_for_both(arguments: dict[str, Any]):
    assert not validator("jobs/add_contact.v1.json").is_valid(arguments)
    with pytest.raises(InvalidJob):
        JOBS["add_contact"].parse(arguments)


def messages() -> Iterator[dict[str, Any]]:
    """Messages, right and wrong around right arguments."""
    changes: dict[str, list[Any]] = {
        "queue_name": ["bulk", "groups", "pizza", 1, ABSENT],
        "actor_name": ["pizza", None, ABSENT],
        "args": [{}, None, ABSENT],
        "kwargs": [[], None, ABSENT],
        "options": [{}, [], None, ABSENT, {"redis_message_id": 1}],
        "message_id": ["m", "é 1", "x" * 255, "x" * 256, "", "a\nb", "\x1b", 1, None, ABSENT],
        "message_timestamp": [0, 1_800_000_000_000.5, -1, 10**15, "1", True, None, ABSENT],
        "more": [1],
    }
    for actor, rights in RIGHT.items():
        _, _, right = message(actor, rights[0])
        yield right
        for field, values in changes.items():
            for value in values:
                yield {name: each for name, each in {**right, field: value}.items() if each is not ABSENT}
        for option in (
            {"eta": 1},
            {"eta": 0},
            {"eta": 1_800_000_000},
            {"eta": 1_800_000_000_000},
            {"eta": 10**17},
            {"eta": None},
            {"eta": -1},
            {"eta": "1"},
            {"traceparent": 1},
            {"other": {}},
        ):
            yield {**right, "options": {**right["options"], **option}}


def test_a_timestamp_in_seconds_is_wrong_for_the_schema_too():
    """The worker answers such a job as invalid: whoever validates before sending must learn of it there."""
    _, _, right = message("list_groups", {"channel": "sms"})
    envelope = validator("envelopes/job.v1.json")
    assert envelope.is_valid(right)
    assert not envelope.is_valid({**right, "message_timestamp": 1_800_000_000})


def test_schema_and_worker_agree_about_every_message():
    envelope = validator("envelopes/job.v1.json")
    verdicts = []
    for body in messages():
        says = envelope.is_valid(body)
        options = body.get("options")
        entry_id = str(options.get("redis_message_id")) if isinstance(options, dict) else ""
        try:
            read_entry(str(body.get("queue_name")), entry_id, json.dumps(body).encode(), ACTORS)
            does = True
        except Unreadable:
            does = False
        assert says == does, body
        verdicts.append(does)
    assert verdicts.count(True) > 30
    assert verdicts.count(False) > 100


def test_events_are_as_their_schemas_say(house: House):
    house.worker()
    group_id = house.new_group()
    genuine = house.sandbox.issue_webhook("coupon_validated")
    ids = [
        house.enqueue(
            "add_contact", channel="sms", group_id=group_id, phone="+32470123456", correlation_id="c"
        ),
        house.enqueue("add_contact", channel="email", group_id="gro_999999", email="ada@example.com"),
        house.enqueue("add_contact", channel="sms"),
        house.enqueue("create_group", channel="email", name="News"),
        house.enqueue("verify_webhook", payload=genuine),
        house.enqueue("verify_webhook", payload={**genuine, "campaign": "cam_0"}),
        house.enqueue("list_groups", channel="sms"),
        house.enqueue("list_contacts", channel="sms", group_id=group_id),
    ]
    house.push("contacts", "e-1", "[]")
    house.wait_answered([*ids, "contacts"])
    envelope = validator("envelopes/event.v1.json")
    for event in house.events():
        envelope.validate(event)
        assert event["dataschema"] in {schema["$id"] for schema in SCHEMAS.values()}
    assert len(house.tally()) >= 8


def test_the_harness_notices_an_event_that_is_not_as_its_schema_says():
    for event in SCHEMAS["envelopes/event.v1.json"]["examples"]:
        check_events([json.dumps(event).encode()])
        for wrong in (
            {**event, "data": {}},
            {**event, "dataschema": "urn:coupontools-worker:contact.added:v2"},
        ):
            with pytest.raises(jsonschema.ValidationError):
                check_events([json.dumps(wrong).encode()])
