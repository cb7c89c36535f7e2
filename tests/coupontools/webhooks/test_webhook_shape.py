from datetime import UTC, datetime
from typing import Any

import orjson
import pytest

from coupontools.webhooks import MAX_BYTES, MAX_DEPTH, check_shape


def nested(depth: int, kind: type[dict[str, object]] | type[list[object]]) -> dict[str, object]:
    """Return a body of `depth` nested containers, the body itself included."""
    value: Any = kind()
    for _ in range(depth - 2):
        value = {"a": value} if kind is dict else [value]
    return {"id": "evt_a", "data": value}


def of_size(size: int, filler: str = "x") -> dict[str, object]:
    """Return a body of exactly `size` bytes."""
    empty = len(orjson.dumps({"id": "evt_a", "data": ""}))
    each = len(orjson.dumps(filler)) - 2
    count, rest = divmod(size - empty, each)
    return {"id": "evt_a", "data": filler * count + "x" * rest}


def refusal(payload: object) -> str:
    with pytest.raises(ValueError, match=r"^payload") as caught:
        check_shape(payload)
    return str(caught.value)


def test_examples_pass_unchanged(example: tuple[str, dict[str, Any]]) -> None:
    before = orjson.dumps(example[1])

    check_shape(example[1])

    assert orjson.dumps(example[1]) == before


@pytest.mark.parametrize(
    ("payload", "named"),
    [
        (None, "null"),
        ([], "a list"),
        ("{}", "a string"),
        (7, "a number"),
        (1.5, "a number"),
        (True, "a boolean"),
        (b"{}", "a Python bytes"),
    ],
)
def test_a_body_must_be_an_object(payload: object, named: str) -> None:
    assert refusal(payload) == f"payload must be a JSON object, not {named}"


@pytest.mark.parametrize(
    ("received", "named"),
    [(922, "a number"), (None, "null"), (True, "a boolean"), ([], "a list"), ({}, "an object")],
)
def test_an_id_must_be_a_string(received: object, named: str) -> None:
    assert refusal({"id": received}) == (
        f"payload.id must be a string like 'evt_6paDkhIBCpWrUK8ne7rT', not {named}"
    )


def test_an_id_must_be_there() -> None:
    assert "must have an id" in refusal({"type": "coupon_claimed"})
    assert "must not be empty" in refusal({"id": ""})


def test_an_id_that_cannot_be_verified_is_a_matter_of_verification() -> None:
    check_shape({"id": "922"})


@pytest.mark.parametrize("filler", ["x", '"', "é", "\n", "\x01", "😀"])
def test_the_size_limit_is_exact(filler: str) -> None:
    check_shape(of_size(MAX_BYTES, filler))

    assert refusal(of_size(MAX_BYTES + 1, filler)) == "payload must be at most 262,144 bytes of JSON"


@pytest.mark.parametrize("item", [1, [], {}, None])
def test_a_body_of_many_small_values_may_use_the_whole_size(item: object) -> None:
    each = len(orjson.dumps(item)) + 1
    count = (MAX_BYTES - len(orjson.dumps({"id": "evt_a", "data": []})) + 1) // each

    check_shape({"id": "evt_a", "data": [item] * count})

    assert "at most" in refusal({"id": "evt_a", "data": [item] * (count + 1)})


def test_five_megabytes_are_refused() -> None:
    assert "at most" in refusal(of_size(5_000_000))
    assert "at most" in refusal({"id": "evt_a", "data": list(range(1_000_000))})


@pytest.mark.parametrize("kind", [dict, list])
def test_the_depth_limit_is_exact(kind: Any) -> None:
    check_shape(nested(MAX_DEPTH, kind))

    assert "more than 64 deep" in refusal(nested(MAX_DEPTH + 1, kind))


@pytest.mark.parametrize("kind", [dict, list])
def test_a_body_of_any_depth_is_refused_without_recursion(kind: Any) -> None:
    assert "more than 64 deep" in refusal(nested(10_000, kind))
    assert "more than 64 deep" in refusal(nested(200_000, kind))


def test_a_body_that_contains_itself_is_refused() -> None:
    body: dict[str, object] = {"id": "evt_a"}
    body["self"] = body

    assert "more than 64 deep" in refusal(body)


def test_a_list_that_stands_in_two_to_the_sixtieth_places_is_refused() -> None:
    value: list[object] = []
    for _ in range(60):
        value = [value, value]

    assert "at most" in refusal({"id": "evt_a", "data": value})


@pytest.mark.parametrize(
    "value",
    [
        float("nan"),
        float("inf"),
        -float("inf"),
        2**64,
        -(2**63) - 1,
        10**5000,
        "\ud800",
        b"bytes",
        (1, 2),
        datetime(2022, 1, 14, tzinfo=UTC),
        {1: "number for a key"},
        {"\udfff": 1},
    ],
    ids=range(12),
)
def test_what_could_not_be_written_back_as_it_came_is_refused(value: object) -> None:
    assert "must" in refusal({"id": "evt_a", "data": value})
    assert "must" in refusal({"id": "evt_a", "data": [[value]]})


def test_the_largest_numbers_pass() -> None:
    check_shape({"id": "evt_a", "data": [2**64 - 1, -(2**63), 1.7976931348623157e308, 0.1, -0.0]})


def test_a_refusal_shows_no_value() -> None:
    assert "jane@example.com" not in refusal({"id": ["jane@example.com"]})
    assert "jane@example.com" not in refusal(
        {"id": "evt_a", "data": {"jane@example.com": b"jane@example.com"}}
    )
