"""Received webhooks: what they say, and whether the API confirms it. Nothing here calls the API."""

from coupontools.webhooks.comparison import Mismatch, compare, denies, names
from coupontools.webhooks.facts import Facts, facts, identify, recorded_facts
from coupontools.webhooks.shape import MAX_BYTES, MAX_DEPTH, MAX_ID, check_shape

__all__ = [
    "MAX_BYTES",
    "MAX_DEPTH",
    "MAX_ID",
    "Facts",
    "Mismatch",
    "check_shape",
    "compare",
    "denies",
    "facts",
    "identify",
    "names",
    "recorded_facts",
]
