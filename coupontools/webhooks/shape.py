"""What a body must look like before anything else is done with it.

Anybody may post to a webhook's endpoint, so a body may be built to hurt: huge, or nested so deep that code
which walks it by recursion fails. These limits are checked without recursion, and all later code relies on them.
"""

import math
from itertools import chain
from typing import TypeAlias

import orjson

MAX_BYTES = 256 * 1024
"""Largest size of a body, in bytes of compact JSON in UTF-8. The vendor's largest example has 1,300."""

MAX_ID = 100
"""The longest id, in characters. The vendor's have 24."""

MAX_DEPTH = 64
"""How many objects and lists may stand inside each other, the body itself included."""

_Container: TypeAlias = dict[object, object] | list[object]

_EXAMPLE_ID = "evt_6paDkhIBCpWrUK8ne7rT"
_KINDS = {
    type(None): "null",
    bool: "a boolean",
    int: "a number",
    float: "a number",
    str: "a string",
    list: "a list",
    dict: "an object",
}
_CONTAINERS = frozenset({dict, list})

# Wrong types are ValueErrors here too (hence the exceptions for TRY004): pydantic, which calls check_shape for
# a job's `payload`, makes a validation error of a ValueError alone.


def check_shape(payload: object) -> None:
    """Make sure that a body is an object with an `id`, plain JSON, and within the limits.

    A body that could not be written back as it came is refused, too: one with whole numbers of more than 64 bits, NaN,
    infinity, or half a surrogate pair in a text.

    Raises:
        ValueError: the body breaks a rule; the message says in one sentence which, and shows no value.
    """
    if not isinstance(payload, dict):
        raise ValueError(f"payload must be a JSON object, not {_kind(payload)}")  # noqa: TRY004
    _check_id(payload)
    _check_values(payload)
    try:
        size = len(orjson.dumps(payload))
    except orjson.JSONEncodeError as error:
        raise ValueError(
            "payload must hold only text of valid Unicode and whole numbers of at most 64 bits"
        ) from error
    if size > MAX_BYTES:
        raise ValueError(_too_large())


def _check_id(payload: dict[object, object]) -> None:
    if "id" not in payload:
        raise ValueError("payload must have an id, the webhook's own (evt_...)")
    received = payload["id"]
    if not isinstance(received, str):
        raise ValueError(f"payload.id must be a string like {_EXAMPLE_ID!r}, not {_kind(received)}")  # noqa: TRY004
    if not received:
        raise ValueError("payload.id must not be empty; it is the webhook's own id (evt_...)")
    if len(received) > MAX_ID:
        raise ValueError(f"payload.id must be at most {MAX_ID} characters long")


def _check_values(payload: dict[object, object]) -> None:
    """Check the body level by level; the depth limit also ends a body that contains itself.

    A level is checked as a whole: one by one, hundreds of thousands of tiny lists would hold up the event loop.
    """
    level: list[_Container] = [payload]
    # Every value takes at least two bytes (itself and a comma or bracket), so their number alone can tell
    # "too large" before a body of many small values, or one list standing in many places, has cost time and
    # memory.
    values = 1
    for _ in range(MAX_DEPTH):
        values += sum(map(len, level))
        if 2 * values > MAX_BYTES + 2:
            raise ValueError(_too_large())
        level = _containers_in(level)
        if not level:
            return
    raise ValueError(f"payload must not nest objects and lists more than {MAX_DEPTH} deep")


def _containers_in(level: list[_Container]) -> list[_Container]:
    """Return the objects and lists inside the given ones; raise ValueError for a member that is no JSON."""
    objects = [container for container in level if isinstance(container, dict)]
    lists = [container for container in level if isinstance(container, list)]
    # Check all members together: one by one takes longer, and every webhook and every job that verifies one passes here.
    if not set(map(type, chain.from_iterable(objects))) <= {str}:
        raise ValueError("payload must be JSON: the keys of its objects must be strings")
    members = [*chain.from_iterable(map(dict.values, objects)), *chain.from_iterable(lists)]
    kinds = set(map(type, members))
    if strangers := kinds - _KINDS.keys():
        names = ", ".join(sorted(f"a Python {stranger.__name__}" for stranger in strangers))
        raise ValueError(f"payload must be JSON, and cannot hold {names}")
    if float in kinds and not all(math.isfinite(member) for member in members if isinstance(member, float)):
        raise ValueError("payload must be JSON, which knows neither NaN nor infinity")
    if kinds.isdisjoint(_CONTAINERS):
        return []
    return [member for member in members if isinstance(member, (dict, list))]


def _too_large() -> str:
    return f"payload must be at most {MAX_BYTES:,} bytes of JSON"


def _kind(value: object) -> str:
    """Return what JSON calls a value, with its article."""
    return _KINDS.get(type(value), f"a Python {type(value).__name__}")
