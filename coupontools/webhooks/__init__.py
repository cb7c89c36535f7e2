"""Received webhooks: what they say, and whether the API confirms it. Pure: nothing here calls anybody."""

from coupontools.webhooks.comparison import Comparison, Mismatch, compare, denies
from coupontools.webhooks.facts import Facts, facts, identify, recorded_facts
from coupontools.webhooks.families import (
    CouponEditWebhook,
    CouponWebhook,
    DirectoryWebhook,
    LandingPageWebhook,
    SubaccountWebhook,
    WalletLoyaltyWebhook,
    Webhook,
    WebLoyaltyWebhook,
)
from coupontools.webhooks.parsing import parse
from coupontools.webhooks.shape import MAX_BYTES, MAX_DEPTH, check_shape

__all__ = [
    "MAX_BYTES",
    "MAX_DEPTH",
    "Comparison",
    "CouponEditWebhook",
    "CouponWebhook",
    "DirectoryWebhook",
    "Facts",
    "LandingPageWebhook",
    "Mismatch",
    "SubaccountWebhook",
    "WalletLoyaltyWebhook",
    "WebLoyaltyWebhook",
    "Webhook",
    "check_shape",
    "compare",
    "denies",
    "facts",
    "identify",
    "parse",
    "recorded_facts",
]
