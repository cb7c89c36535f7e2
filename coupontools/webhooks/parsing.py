"""Which family a received body belongs to: told by its `type`, and by its shape where types overlap."""

from collections.abc import Mapping

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
from coupontools.webhooks.values import read_text


def parse(payload: Mapping[str, object]) -> Webhook:
    """The typed view of a received body. `raw` is `payload` itself, unchanged; any object is accepted.

    A `type` that no example of the vendor's document resembles gives a plain `Webhook`.
    """
    return _family(payload)(payload)


def _family(payload: Mapping[str, object]) -> type[Webhook]:
    kind, _, event = (read_text(payload.get("type")) or "").partition("_")
    match kind:
        case "coupon":
            return _coupon_family(payload)
        case "subaccount":
            return SubaccountWebhook
        case "loyalty":
            is_wallet = event.startswith("v3_") or "loyalty_id" in payload
            return WalletLoyaltyWebhook if is_wallet else WebLoyaltyWebhook
        case "lp":
            return LandingPageWebhook
        case "directory":
            return DirectoryWebhook
        case _:
            return Webhook


def _coupon_family(payload: Mapping[str, object]) -> type[Webhook]:
    # coupon_claimed and coupon_created share their prefix, yet `coupon` is an object in one and an id in the
    # other.
    coupon = payload.get("coupon")
    if isinstance(coupon, dict) or "campaign" in payload or "session" in payload:
        return CouponWebhook
    return CouponEditWebhook if isinstance(coupon, str) else Webhook
