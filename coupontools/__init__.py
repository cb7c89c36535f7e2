"""The vendor's API: its endpoints, a client that knows whether a call may have happened, models and errors."""

from coupontools.calls import Call
from coupontools.client import ChannelApi, Coupontools, WebhookApi
from coupontools.comparable import (
    comparable_address,
    comparable_name,
    comparable_number,
    is_saturated,
    letters_of_address,
    mangled,
    unescaped,
)
from coupontools.endpoints import ENDPOINTS, SPELLING, Endpoint, Operation
from coupontools.errors import (
    AccountRefused,
    CoupontoolsError,
    MayHaveHappened,
    NotCarriedOut,
    NotSent,
    Rejected,
    Scope,
)
from coupontools.listing import Listing
from coupontools.models import Channel, Contact, Group, NewContact
from coupontools.spellings import shown_beginnings, shown_uncounted, spellings

__all__ = [
    "ENDPOINTS",
    "SPELLING",
    "AccountRefused",
    "Call",
    "Channel",
    "ChannelApi",
    "Contact",
    "Coupontools",
    "CoupontoolsError",
    "Endpoint",
    "Group",
    "Listing",
    "MayHaveHappened",
    "NewContact",
    "NotCarriedOut",
    "NotSent",
    "Operation",
    "Rejected",
    "Scope",
    "WebhookApi",
    "comparable_address",
    "comparable_name",
    "comparable_number",
    "is_saturated",
    "letters_of_address",
    "mangled",
    "shown_beginnings",
    "shown_uncounted",
    "spellings",
    "unescaped",
]
