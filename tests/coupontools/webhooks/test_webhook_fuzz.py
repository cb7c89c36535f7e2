"""The vendor's examples, mutated at random: nothing may raise, and no difference may go unnoticed."""

import copy
import json
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from coupontools.webhooks import check_shape, compare, facts, identify

EXAMPLES = [
    json.loads(path.read_text())
    for path in sorted((Path(__file__).parents[3] / "sandbox/examples").glob("*.json"))
]
CAMPAIGN_NAMES = ("campaign", "coupon", "target_coupon")
SESSION_NAMES = ("session", "coupon_code", "statcode", "target_statcode")
COMPARABLE = ("id", "type", "datetime", *CAMPAIGN_NAMES, *SESSION_NAMES)

# No example database: what one run found must not change what the next one tries.
fuzz = settings(deadline=None, database=None, max_examples=80)

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([2**64, 10**40, 0, 1])
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["", "0", "1", "2022-01-14 10:40:38", "2022-01-14T10:40:38Z", "0000-00-00 00:00:00"])
    | st.sampled_from(["9999-12-31 23:59:59-14:00", "coupon_claimed", "coupon_created", "evt_a", "cam_12345"])
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@st.composite
def mutated(draw: st.DrawFn, example: dict[str, Any]) -> dict[str, Any]:
    """Return the example with up to five fields, anywhere in it, dropped, retyped, nested, copied or added."""
    body = copy.deepcopy(example)
    for _ in range(draw(st.integers(1, 5))):
        objects = objects_in(body)
        target = draw(st.sampled_from(objects))
        names = sorted(target) or [""]
        # Top-level names are offered everywhere: a field may also turn up where another family has it.
        name = draw(st.sampled_from(names) | st.sampled_from(COMPARABLE) | st.text(max_size=8))
        match draw(st.sampled_from(["drop", "retype", "nest", "list", "number", "copy"])):
            case "drop":
                target.pop(name, None)
            case "retype":
                target[name] = draw(values)
            case "nest":
                target[name] = {name: target.get(name)}
            case "list":
                target[name] = [target.get(name)]
            case "number" if isinstance(target.get(name), str) and target[name].isdecimal():
                target[name] = int(target[name])
            case _:
                target[name] = copy.deepcopy(target.get(draw(st.sampled_from(names))))
    return body


def objects_in(value: Any) -> list[dict[str, Any]]:
    found = [value] if isinstance(value, dict) else []
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return found + [item for member in inner for item in objects_in(member)]


def answer(example: dict[str, Any], *, older: bool) -> dict[str, Any]:
    """Return what the API has on record about an example."""
    coupon = next((example[name] for name in CAMPAIGN_NAMES if isinstance(example.get(name), str)), "")
    statcode = next((example[name] for name in SESSION_NAMES if name in example), "")
    names = ("date", "campaign", "session") if older else ("datetime", "coupon", "statcode")
    return {
        "webhook": example["id"],
        "type": example["type"],
        **dict(zip(names, (example["datetime"], coupon, statcode), strict=True)),
    }


cases = st.sampled_from(EXAMPLES).flatmap(lambda example: st.tuples(st.just(example), mutated(example)))


@fuzz
@given(case=cases)
def test_reading_never_fails_and_changes_nothing(case: tuple[dict[str, Any], dict[str, Any]]) -> None:
    _, body = case
    before = copy.deepcopy(body)

    facts(body)

    assert shape_of(body) == shape_of(before)
    assert identify(body) in (None, body.get("id"))


@fuzz
@given(case=cases, older=st.booleans())
def test_no_difference_goes_unnoticed(case: tuple[dict[str, Any], dict[str, Any]], older: bool) -> None:
    example, body = case
    record = answer(example, older=older)
    on_record = (
        {"id": example["id"], "type": example["type"], "datetime": example["datetime"]}
        | dict.fromkeys(CAMPAIGN_NAMES, record["campaign" if older else "coupon"])
        | dict.fromkeys(SESSION_NAMES, record["session" if older else "statcode"])
    )

    comparison = compare(body, record)
    mismatched = {mismatch.field for mismatch in comparison.mismatches}

    assert mismatched <= set(comparison.checked) <= {*body, *ALWAYS_CARRIED}
    for name, expected in on_record.items():
        if name not in body and name in ALWAYS_CARRIED:
            assert name in mismatched
        elif name not in body or expected == "" or (name == "coupon" and describes(body[name])):
            assert name not in comparison.checked
        else:
            assert name in comparison.checked
            assert (name in mismatched) is not means(name, body[name], expected)


#: A body that lacks one of these fields differs in it.
ALWAYS_CARRIED = ("type", "datetime")


def describes(coupon: object) -> bool:
    """Return whether a `coupon` is the description of a campaign, or an empty one."""
    return isinstance(coupon, dict) or coupon == []


def means(name: str, received: object, expected: str) -> bool:
    """Return whether a value says the same as the record, without using the code under test."""
    if isinstance(received, int) and not isinstance(received, bool) and received < 10**9:
        return str(received) == expected
    if name == "datetime" and isinstance(received, str):
        return received.replace("T", " ").replace("Z", "") == expected
    return received == expected


def shape_of(value: Any) -> Any:
    """Return a value in a form that == compares exactly: types matter (1 is not True), and NaN equals itself."""
    if isinstance(value, dict):
        return {key: shape_of(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [shape_of(inner) for inner in value]
    return (type(value), repr(value))


@fuzz
@given(payload=values | cases.map(lambda case: case[1]))
def test_the_shape_is_accepted_or_refused_in_a_sentence(payload: Any) -> None:
    try:
        check_shape(payload)
    except ValueError as refusal:
        assert str(refusal).startswith("payload")  # noqa: PT017 - either outcome is right; pytest.raises wants one
    else:
        assert isinstance(payload["id"], str)
        assert shape_of(json.loads(json.dumps(payload))) == shape_of(payload)


@fuzz
@given(payload=st.dictionaries(st.text(max_size=8) | st.sampled_from(COMPARABLE), values), record=st.data())
def test_any_object_against_any_answer(payload: dict[str, Any], record: st.DataObject) -> None:
    names = ("webhook", "type", "datetime", "date", "coupon", "campaign", "statcode", "session", "result")
    answered = record.draw(st.dictionaries(st.sampled_from(names), values))

    comparison = compare(payload, answered)

    assert set(comparison.checked) <= {*payload, *ALWAYS_CARRIED}
    assert {mismatch.field for mismatch in comparison.mismatches} <= set(comparison.checked)
