"""Whether a received body says what the API has on record: every field that both sides have is compared.

The vendor signs nothing, so this comparison is the only proof there is. `checked` names exactly the fields that
were compared, so that no event claims more than was proven. Names on the two sides differ (vendor's document,
'Webhooks' and 'Verification'; the names after "or" are those of the older answer, version 3):

    received body                                     verification answer
    id                                                webhook
    type                                              type
    datetime                                          datetime or date
    campaign, coupon (an id), target_coupon           coupon or campaign
    session, coupon_code, statcode, target_statcode   statcode or session
"""

from collections.abc import Mapping
from dataclasses import dataclass

from coupontools.webhooks.facts import CAMPAIGN_NAMES, SESSION_NAMES
from coupontools.webhooks.values import plain, read_moment

# Received names, and where the answer has the same thing: its name today, then its name in the older answer.
_PAIRS: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...] = (
    (("id",), ("webhook",)),
    (("type",), ("type",)),
    (("datetime",), ("datetime", "date")),
    (CAMPAIGN_NAMES, ("coupon", "campaign")),
    (SESSION_NAMES, ("statcode", "session")),
)
# Every genuine webhook carries these two, whatever its family.
_ALWAYS_CARRIED = frozenset({"type", "datetime"})
_NOTHING: tuple[object, ...] = (None, False, "", "0000-00-00 00:00:00", [], {})


@dataclass(frozen=True, slots=True)
class Mismatch:
    """A field in which the body and the record differ; both values are as they came."""

    field: str
    received: object
    expected: object


@dataclass(frozen=True, slots=True)
class Comparison:
    """The fields of the body that were compared, and those of them that differ from the record.

    No mismatch means that what was checked agrees; it says nothing about fields that are not in `checked`.
    """

    checked: tuple[str, ...]
    mismatches: tuple[Mismatch, ...]


def compare(payload: Mapping[str, object], record: Mapping[str, object]) -> Comparison:
    """Compare a received body with the API's verification answer for its id. Never raises.

    - Several received fields may be one thing on record (`coupon_code` and `session`): all are compared.
    - A field that is missing, null, false or empty in the answer is not compared, nor is a number of which digits
      may be lost. A field that is in the body is compared even if it is null or empty there.
    - A body that lacks `type` or `datetime`, where the answer has it, differs in it: else a forger who knows
      an id would only have to leave out the rest. Any other field that the body lacks is not compared.
    - The coupon family's `coupon` is an object that describes the campaign, not its id: it is not compared.
    - Strings and numbers are compared by their text, exactly; moments by the instant they mean. A value of
      another kind (an object in place of an id) differs from everything.
    """
    checked: list[str] = []
    mismatches: list[Mismatch] = []
    for received_names, recorded_names in _PAIRS:
        expected = _recorded(record, recorded_names)
        if expected is None:
            continue
        for name in received_names:
            received = payload.get(name)
            lacking = name not in payload and name not in _ALWAYS_CARRIED
            if lacking or _describes_campaign(name, received):
                continue
            checked.append(name)
            if not _same(name, received, expected):
                mismatches.append(Mismatch(name, received, expected))
    return Comparison(tuple(checked), tuple(mismatches))


def names(record: Mapping[str, object], webhook_id: str) -> bool:
    """Return whether the answer is about this very webhook. Without the webhook's body nothing else can be checked."""
    return plain(record.get("webhook")) == webhook_id


def denies(record: Mapping[str, object]) -> bool:
    """Return whether the older answer itself says that the webhook is not genuine.

    Version 3 of the endpoint also answers `result`, the API's own verdict on the id: "valid" is the only
    value its page shows; an unknown id is refused with error 509. The body has no counterpart to compare it
    with, but any other verdict is no confirmation, and must not be taken for one.
    """
    verdict = record.get("result")
    return verdict not in (None, "") and (plain(verdict) or "").strip().lower() != "valid"


def _recorded(record: Mapping[str, object], names: tuple[str, ...]) -> object:
    # PHP writes false for a value it did not find, and a float for a long number; MySQL writes a date of zeros for no date.
    values = (record.get(name) for name in names)
    told = (value for value in values if type(value) is not float and value not in _NOTHING)
    return next(told, None)


def _describes_campaign(name: str, received: object) -> bool:
    # PHP, which the vendor's platform speaks, writes an object without entries as an empty list.
    return name == "coupon" and (isinstance(received, dict) or received == [])


def _same(name: str, received: object, expected: object) -> bool:
    if name == "datetime":
        here, there = read_moment(received), read_moment(expected)
        if here is not None and there is not None:
            return here == there
    text = plain(received)
    return text is not None and text == plain(expected)
