"""What an event says about a webhook, whatever its family: type, campaign and session; and the id to ask about."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from coupontools.webhooks.values import plain, read_text

# The families name the same thing differently (vendor's document, 'Webhooks'); the first that is there counts.
CAMPAIGN_NAMES = ("campaign", "coupon", "target_coupon")
SESSION_NAMES = ("session", "coupon_code", "statcode", "target_statcode")

# At most 100 characters with its prefix, like the `id` of any body (MAX_ID).
_VERIFIABLE = re.compile(r"evt_[A-Za-z0-9]{1,96}")


@dataclass(frozen=True, slots=True)
class Facts:
    """The facts of one webhook; what is absent or unreadable is None."""

    webhook_type: str | None
    campaign: str | None
    session: str | None


def identify(payload: Mapping[str, object]) -> str | None:
    """Return the id to ask the API about, `evt_` and 1-96 letters or digits; None if there is none to verify.

    The directory page's ids are bare numbers ("922"; vendor's document, 'Directory page').
    """
    received = payload.get("id")
    return received if isinstance(received, str) and _VERIFIABLE.fullmatch(received) else None


def facts(payload: Mapping[str, object]) -> Facts:
    """Return the facts as the received body states them, true or not."""
    return Facts(
        webhook_type=read_text(payload.get("type")),
        campaign=_first(payload, CAMPAIGN_NAMES),
        session=_first(payload, SESSION_NAMES),
    )


def recorded_facts(record: Mapping[str, object]) -> Facts:
    """Return the facts as the API's verification answer states them: all there is when a job gave only an id.

    Source: vendor's document, 'Verification'; the older answer's names are `campaign` and `session`.
    """
    return Facts(
        webhook_type=read_text(record.get("type")),
        campaign=_first(record, ("coupon", "campaign")),
        session=_first(record, ("statcode", "session")),
    )


def _first(values: Mapping[str, object], names: tuple[str, ...]) -> str | None:
    """Return the first named value that is not empty; an object (the coupon family's `coupon`) is none."""
    return next((found for name in names if (found := plain(values.get(name)))), None)
