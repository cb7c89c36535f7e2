"""Webhooks of the seven families, and what verification says about each.

Bodies are the vendor's examples (vendor's document, 'Webhooks') with ids of their own; each part can be replaced.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal, get_args

import orjson

from coupontools.webhooks import facts
from sandbox.store import Store

Family = Literal[
    "coupon", "coupon_edit", "subaccount", "loyalty", "loyalty_v3", "landing_page", "directory_page"
]

FAMILIES: Final[tuple[Family, ...]] = get_args(Family)

_EXAMPLES: Final = Path(__file__).parent / "examples"

# The first prefix that fits counts, so a longer one stands before the shorter one that it begins with.
_PREFIXES: Final[tuple[tuple[str, Family], ...]] = (
    ("loyalty_v3_", "loyalty_v3"),
    ("loyalty_", "loyalty"),
    ("subaccount_", "subaccount"),
    ("directory_", "directory_page"),
    ("lp_", "landing_page"),
    ("coupon_created", "coupon_edit"),
    ("coupon_updated", "coupon_edit"),
    ("coupon_edited", "coupon_edit"),
    ("coupon_deleted", "coupon_edit"),
    ("coupon_", "coupon"),
)


def family_of(webhook_type: str) -> Family:
    """Return the family a webhook type belongs to; ValueError when its name does not tell."""
    for prefix, family in _PREFIXES:
        if webhook_type.startswith(prefix):
            return family
    raise ValueError(f"the type {webhook_type!r} does not tell its family; give one of {', '.join(FAMILIES)}")


def issue(
    store: Store,
    family: Family,
    *,
    webhook_type: str | None,
    fields: Mapping[str, Any],
    old_answer: bool,
) -> dict[str, Any]:
    """Return a new webhook body, which verification knows from now on.

    `fields` replace the example's, nested objects field by field. A directory page's webhook has a bare
    number for its id and stays unknown to verification, which takes `evt_` ids (vendor's document,
    'Verification').
    """
    body = _merged(orjson.loads((_EXAMPLES / f"{family}.json").read_bytes()), fields)
    if webhook_type is not None:
        body["type"] = webhook_type
    if family == "directory_page":
        body["id"] = store.next_directory_page_id()
        return body
    body["id"] = webhook_id = store.next_webhook_id()
    store.webhooks[webhook_id] = body
    if old_answer:
        store.old_answers.add(webhook_id)
    return body


def verification_answer(body: Mapping[str, Any], *, old: bool) -> dict[str, str]:
    """Return what verification says about a known webhook, without the envelope's status.

    The older answer's fields are those of the vendor's public page on version 3 of this endpoint. The document
    shows one answer, a coupon's; that those of other families leave empty what they lack is the sandbox's choice.
    """
    told = facts(body)
    datetime, coupon, statcode = (
        ("date", "campaign", "session") if old else ("datetime", "coupon", "statcode")
    )
    answer = {
        "webhook": body["id"],
        datetime: body["datetime"],
        "type": body["type"],
        coupon: told.campaign or "",
        statcode: told.session or "",
    }
    return {"result": "valid", **answer} if old else answer


def _merged(example: Mapping[str, Any], fields: Mapping[str, Any]) -> dict[str, Any]:
    body = dict(example)
    for name, value in fields.items():
        known = body.get(name)
        if isinstance(known, Mapping) and isinstance(value, Mapping):
            body[name] = _merged(known, value)
        else:
            body[name] = value
    return body
