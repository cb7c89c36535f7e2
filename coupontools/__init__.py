"""The vendor's API: a client that knows whether a call may have happened, its models and its errors."""

from coupontools.calls import Call
from coupontools.client import ChannelApi, Coupontools, WebhookApi
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
from coupontools.models import AddedContact, Channel, Contact, Group, NewContact, WebhookRecord

__all__ = [
    "AccountRefused",
    "AddedContact",
    "Call",
    "Channel",
    "ChannelApi",
    "Contact",
    "Coupontools",
    "CoupontoolsError",
    "Group",
    "Listing",
    "MayHaveHappened",
    "NewContact",
    "NotCarriedOut",
    "NotSent",
    "Rejected",
    "Scope",
    "WebhookApi",
    "WebhookRecord",
]
