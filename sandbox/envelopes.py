"""The API's failures: which codes there are, and the envelopes that carry them.

Two forms are documented. Bad credentials come with a number; everything else is shown with lists:

    {"status": {"status": "failed", "errors": {"error_code": 1000, "error_message": "HTTP/1.0 401 ..."}}}
    {"status": {"status": "failed", "errors": {"error_message": "HTTP/1.0 422 Unprocessable entity.",
                "error_message_description": ["Webhook not found"], "error_code": [509]}}}

Source: vendor's public pages on API errors and on webhook verification.
"""

from collections.abc import Sequence
from typing import Any, Final, Literal

import orjson

from coupontools import Channel
from sandbox.answers import Answer
from sandbox.settings import SandboxConfig

BAD_CREDENTIALS: Final = 1000
ACCOUNT_EXPIRED: Final = 101
SUBACCOUNT_MISUSE: Final = 102
NOT_CONNECTED: Final = 103
NO_EMAIL: Final = 104
MISSING_PARAMETER: Final = 200
WRONG_VALUE: Final = 300
INVALID_CHARACTER: Final = 301
DATE_FORMAT: Final = 303
EMAIL_NOT_VALID: Final = 305
WEBHOOK_NOT_FOUND: Final = 509
GROUP_NOT_FOUND: Final = 514

EnvelopeForm = Literal["number", "list"]
ErrorItem = tuple[int, str]


class RefusedError(Exception):
    """The API answers a failed envelope and carries nothing out; `errors` are its codes and texts."""

    def __init__(self, *errors: ErrorItem) -> None:
        super().__init__("; ".join(f"{code}: {text}" for code, text in errors))
        self.errors = errors


def account_text(code: int, channel: Channel | None) -> str:
    """Return the text of an account error in the words of a channel's endpoints.

    Only 103 is worded in the vendor's document (for SMS and email) and 1000 on the vendor's public pages;
    the wording of 101, 102 and 104 is the sandbox's choice.
    """
    service = "Email" if channel is Channel.EMAIL else "SMS"
    return {
        BAD_CREDENTIALS: "Client ID or Secret not correct.",
        ACCOUNT_EXPIRED: "Your account has expired",
        SUBACCOUNT_MISUSE: "This subaccount may not use this function",
        NOT_CONNECTED: f"Your account is not connected with the Coupontools {service} services",
        NO_EMAIL: "Your account is not connected with the Coupontools Email services",
    }[code]


def failure(
    errors: Sequence[ErrorItem],
    settings: SandboxConfig,
    form: EnvelopeForm | None = None,
    status: int | None = None,
) -> Answer:
    """Return the failed envelope for these errors; form and HTTP status follow the settings unless given.

    The form `number` carries only the first error.
    """
    code, text = errors[0]
    documented_status, line, documented_form = (
        (401, "HTTP/1.0 401 Unauthorized.", "number")
        if code == BAD_CREDENTIALS
        else (422, "HTTP/1.0 422 Unprocessable entity.", "list")
    )
    codes = tuple(code for code, _ in errors)
    if form is None and settings.envelope_form != "documented":
        form = settings.envelope_form
    if (form or documented_form) == "number":
        told: dict[str, Any] = {"error_code": code, "error_message": f"{line} {text}"}
    else:
        texts = [text for _, text in errors]
        told = {"error_message": line, "error_message_description": texts, "error_code": codes}
    if status is None:
        status = 200 if settings.envelope_status == "200" else documented_status
    document = {"status": {"status": "failed", "errors": told}}
    return Answer(status, orjson.dumps(document), codes=codes)
