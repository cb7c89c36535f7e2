"""`contract`: an AsyncAPI 3.0 document that says what the models say."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from actors import EVENTS, JOBS

# https://www.asyncapi.com/docs/reference/specification/v3.0.0
ROOT = {"asyncapi", "id", "info", "servers", "defaultContentType", "channels", "operations", "components"}
CHANNEL = {
    "address",
    "messages",
    "title",
    "summary",
    "description",
    "servers",
    "parameters",
    "tags",
    "bindings",
}
OPERATION = {"action", "channel", "title", "summary", "description", "messages", "reply", "bindings", "tags"}
MESSAGE = {
    "headers",
    "payload",
    "contentType",
    "name",
    "title",
    "summary",
    "description",
    "correlationId",
    "examples",
}


@pytest.fixture
def document(command) -> dict[str, Any]:
    done = command("contract", KEY_PREFIX="c", BROKER_NAMESPACE="d", EVENTS_STREAM="answers")
    assert done.returncode == 0, done.stderr
    parsed: dict[str, Any] = json.loads(done.stdout)
    return parsed


def resolve(document: dict[str, Any], reference: str) -> dict[str, Any]:
    here: Any = document
    assert reference.startswith("#/")
    for part in reference[2:].split("/"):
        here = here[part]
    return resolve(document, here["$ref"]) if "$ref" in here else here


def references(node: Any) -> list[str]:
    if isinstance(node, dict):
        own = [node["$ref"]] if isinstance(node.get("$ref"), str) else []
        return own + [found for value in node.values() for found in references(value)]
    return [found for value in node for found in references(value)] if isinstance(node, list) else []


def test_it_has_what_the_specification_asks_for(document):
    assert set(document) <= ROOT
    assert document["asyncapi"] == "3.0.0"
    assert document["info"]["title"]
    assert re.fullmatch(r"\d+\.\d+\.\d+.*", document["info"]["version"])
    assert document["info"]["contact"]["name"]
    assert document["info"]["license"]["name"] == "MIT"
    for server in document["servers"].values():
        assert {"host", "protocol", "description"} <= set(server)
    for channel in document["channels"].values():
        assert set(channel) <= CHANNEL
        assert isinstance(channel["address"], str)
    for operation in document["operations"].values():
        assert set(operation) <= OPERATION
        assert operation["action"] in {"send", "receive"}
        assert re.fullmatch(r"#/channels/[\w.]+", operation["channel"]["$ref"])
        # An operation's messages must be messages of its channel, referred to by way of it; a reply's likewise.
        for side in filter(None, (operation, operation.get("reply"))):
            for message in side["messages"]:
                assert message["$ref"].startswith(f"{side['channel']['$ref']}/messages/")
    for message in document["components"]["messages"].values():
        assert set(message) <= MESSAGE
        assert resolve(document, message["payload"]["$ref"])["type"] == "object"
    # https://www.asyncapi.com/docs/reference/specification/v3.0.0#componentsObject: which names are allowed
    for components in document["components"].values():
        assert all(re.fullmatch(r"[a-zA-Z0-9._-]+", name) for name in components)
    found = references(document)
    assert found
    for reference in found:
        assert resolve(document, reference)


def test_it_names_every_queue_job_and_event(document):
    channels = document["channels"]
    assert {name: channel["address"] for name, channel in channels.items()} == {
        "contacts": "d:contacts",
        "bulk": "d:bulk",
        "groups": "d:groups",
        "webhooks": "d:webhooks",
        "reads": "d:reads",
        "events": "answers",
    }
    assert set(channels["reads"]["messages"]) == {"list_groups", "list_contacts"}
    assert "HSET d:contacts.msgs" in channels["contacts"]["description"]
    assert set(channels["events"]["messages"]) == set(EVENTS)
    told = {name for name, operation in document["operations"].items() if operation["action"] == "receive"}
    assert told == {*JOBS, "add_contact.bulk"}
    assert all(operation["description"] for operation in document["operations"].values())
    answers = {
        message["$ref"].rpartition("/")[2]
        for operation in document["operations"].values()
        for message in operation.get("reply", operation)["messages"]
    }
    assert answers == set(EVENTS)
    for name, job in JOBS.items():
        kinds = {m["$ref"].rpartition("/")[2] for m in document["operations"][name]["reply"]["messages"]}
        assert kinds == {*job.succeeds, job.failed}
        assert job.succeeds, f"{name} has no event for its success"


def test_its_schemas_are_those_of_the_models(document):
    message = resolve(document, document["components"]["messages"]["add_contact"]["payload"]["$ref"])
    add = resolve(document, message["properties"]["kwargs"]["$ref"])
    assert set(add["required"]) == {"channel", "group_id"}
    assert set(add["properties"]) == set(JOBS["add_contact"].model_fields)
    assert add["additionalProperties"] is False
    phone = add["properties"]["phone"]["anyOf"][0]["pattern"]
    for right in ("+32470123456", "+32 (470) 12.34-56", "+1234567"):
        assert re.search(phone, right)
    for wrong in ("0470123456", "+0470123456", "+123456", "+1234567890123456", "+32470x123456"):
        assert not re.search(phone, wrong)
    assert re.search(add["properties"]["group_id"]["pattern"], "gro_119251")
    event = resolve(document, document["components"]["messages"]["contact.added"]["payload"]["$ref"])
    added = event["properties"]
    assert added["type"] == {"const": "coupontools.contact.added"}
    data = resolve(document, added["data"]["$ref"])
    assert {"channel", "group_id", "contact_id", "attempts", "replayed", "reconciled"} <= set(
        data["required"]
    )


def test_it_holds_a_whole_message_of_each_kind(document):
    for name, message in document["components"]["messages"].items():
        for example in message["examples"]:
            payload = resolve(document, message["payload"]["$ref"])
            assert set(payload["required"]) <= set(example["payload"]), name


def unnamed(schema: dict[str, Any], path: str) -> Iterator[str]:
    """The paths of all schemas in this one for which a generator of code would make a type, and find no name."""
    if ("properties" in schema or "enum" in schema) and "title" not in schema:
        yield path
    for name, part in schema.get("properties", {}).items():
        yield from unnamed(part, f"{path}/{name}")
    for part in schema.get("anyOf", []):
        yield from unnamed(part, f"{path}/anyOf")
    if "items" in schema:
        yield from unnamed(schema["items"], f"{path}/items")


def test_a_generator_of_code_finds_a_name_for_every_type(document):
    schemas = document["components"]["schemas"]
    assert [path for name, schema in schemas.items() for path in unnamed(schema, name)] == []
    assert len(schemas) > 40
