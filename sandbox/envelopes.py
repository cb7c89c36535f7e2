"""The API's failures: which codes there are, and the envelopes that carry them.

Two forms are documented. Bad credentials come with a number; everything else is shown with lists:

    {"status": {"status": "failed", "errors": {"error_code": 1000, "error_message": "HTTP/1.0 401 ..."}}}
    {"status": {"status": "failed", "errors": {"error_message": "HTTP/1.0 422 Unprocessable entity.",
                "error_message_description": ["Webhook not found"], "error_code": [509]}}}

Source: vendor's public pages on API errors and on webhook verification.
"""

from collections.abc import Sequence
from typing import Any, Final, Literal

from coupontools import Channel
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
    """The text of an account error as the endpoints of a channel word it.

    Only 103 is worded in the vendor's document (for SMS and email) and 1000 on the vendor's public pages;
    the wording of 101, 102 and 104 is ours.
    """
    service = "Email" if channel is Channel.EMAIL else "SMS"
    return {
        BAD_CREDENTIALS: "Client ID or Secret not correct.",
        ACCOUNT_EXPIRED: "Your account has expired",
        SUBACCOUNT_MISUSE: "This subaccount may not use this function",
        NOT_CONNECTED: f"Your account is not connected with the Coupontools {service} services",
        NO_EMAIL: "Your account is not connected with the Coupontools Email services",
    }[code]


def failure_status(errors: Sequence[ErrorItem], settings: SandboxConfig) -> int:
    """The HTTP status a failed envelope is sent with."""
    if settings.envelope_status == "200":
        return 200
    return _line(errors)[0]


def failure_document(
    errors: Sequence[ErrorItem], settings: SandboxConfig, form: EnvelopeForm | None = None
) -> dict[str, Any]:
    """The failed envelope for these errors; `form` overrides the setting. A number tells only the first."""
    if form is None:
        form = _form(errors, settings)
    line = _line(errors)[1]
    if form == "number":
        code, text = errors[0]
        return _failed({"error_code": code, "error_message": f"{line} {text}"})
    return _failed(
        {
            "error_message": line,
            "error_message_description": [text for _, text in errors],
            "error_code": [code for code, _ in errors],
        }
    )


def _failed(errors: dict[str, Any]) -> dict[str, Any]:
    return {"status": {"status": "failed", "errors": errors}}


def _form(errors: Sequence[ErrorItem], settings: SandboxConfig) -> EnvelopeForm:
    if settings.envelope_form != "documented":
        return settings.envelope_form
    return "number" if errors[0][0] == BAD_CREDENTIALS else "list"


def _line(errors: Sequence[ErrorItem]) -> tuple[int, str]:
    if errors[0][0] == BAD_CREDENTIALS:
        return 401, "HTTP/1.0 401 Unauthorized."
    return 422, "HTTP/1.0 422 Unprocessable entity."
