"""The seven families of webhooks and the objects inside them (vendor's document, 'Webhooks').

Every field of the vendor's examples is declared here. A field that is absent, or is not of the type it should
be, reads as None; `raw` holds what was really received, and `extra` what is not declared. Moments are UTC.
"""

from coupontools.webhooks.view import View, day, flag, integer, mapping, moment, numbered_texts, part, text


class Webhook(View):
    """What all webhooks have in common; also the class of those whose `type` is unknown."""

    __slots__ = ()

    id = text()
    datetime = moment()
    type = text()


class CouponDetails(View):
    """The campaign that a coupon belongs to; its `coupon_code` is the campaign's, not the consumer's."""

    __slots__ = ()

    coupon_code = text()
    friendly_name = text()
    title = text()
    subtitle = text()
    tags = text()
    coupon_value = text()
    custom_validation_code = text()
    customid = text()
    timezone = text()


class CouponStatus(View):
    """How far a coupon has come; a date is None until it has happened."""

    __slots__ = ()

    social_login = flag()
    scratched = flag()
    scratched_date = moment()
    claimed = flag()
    claimed_date = moment()
    claimed_type = text()
    validated = flag()
    validated_date = moment()


class Customer(View):
    """The consumer who holds a coupon, as far as the campaign asked."""

    __slots__ = ()

    gender = text()
    first_name = text()
    last_name = text()
    email = text()
    phone = text()
    address = text()
    zip = text()
    city = text()
    birthday = day()
    custom_fields = numbered_texts("custom_field_")
    questions = numbered_texts("question_")


class CouponWebhook(Webhook):
    """Something happened to one consumer's coupon: claimed, validated and so on ('Coupon')."""

    __slots__ = ()

    livemode = flag()
    coupon_code = text()
    session = text()
    campaign = text()
    coupon_url = text()
    coupon = part(CouponDetails)
    status = part(CouponStatus)
    customer = part(Customer)


class CouponEditWebhook(Webhook):
    """A campaign was created or edited ('Coupon edit'); `coupon` is the campaign's id, cam_..."""

    __slots__ = ()

    coupon = text()
    subaccount = text()


class SubaccountData(View):
    """Who a subaccount belongs to."""

    __slots__ = ()

    email = text()
    company_name = text()
    first_name = text()
    last_name = text()
    phone = text()
    country = text()


class SubaccountWebhook(Webhook):
    """A subaccount was created or changed ('Subaccount')."""

    __slots__ = ()

    subaccount = text()
    data = part(SubaccountData)


class WebLoyaltyWebhook(Webhook):
    """Something happened to a consumer's web loyalty card ('Web Loyalty (legacy)')."""

    __slots__ = ()

    subaccount = text()
    loyaltycard = text()
    statcode = text()


class WalletUser(View):
    """The holder of a wallet loyalty card."""

    __slots__ = ()

    id = integer()
    code = text()
    first_name = text()
    last_name = text()
    address = text()
    zip = text()
    city = text()
    phone = text()
    email = text()
    custom = numbered_texts("custom_")
    download_url = text()


class WalletLoyaltyWebhook(Webhook):
    """Something happened to a consumer's wallet loyalty card ('Wallet Loyalty')."""

    __slots__ = ()

    loyalty_id = integer()
    user = part(WalletUser)


class UtmTags(View):
    """The marketing tags of the link that led to a landing page."""

    __slots__ = ()

    utm_source = text()
    utm_medium = text()
    utm_campaign = text()
    utm_term = text()
    utm_content = text()
    custom = numbered_texts("custom")


class LandingPageWebhook(Webhook):
    """A landing page's form was sent ('Landing page'); the keys of `data` are the form's own labels."""

    __slots__ = ()

    landing_id = text()
    target_coupon = text()
    target_statcode = text()
    target_url = text()
    data = mapping()
    utm_tags = part(UtmTags)


class DirectoryUser(View):
    """Who registered at a directory page."""

    __slots__ = ()

    user_id = text("userId")
    first_name = text()
    last_name = text()
    birthday = day()
    email = text()
    phone = text()
    created_at = moment()


class DirectoryWebhook(Webhook):
    """Somebody registered at a directory page ('Directory page'); its id ("922") cannot be verified."""

    __slots__ = ()

    data = part(DirectoryUser)
