"""Everything the API client raises: one tree, and each class says what the caller may do about it."""

from typing import Literal

Scope = Literal["account", "sms", "email"]
"""How much of the account a refusal covers: all of it, or one of its channels."""


class CoupontoolsError(Exception):
    """A call did not succeed; catch a subclass to learn what may be done about it.

    Neither the credentials nor what was sent are ever part of an error; of the answer only the texts of the
    API's own error envelope are.
    """

    def __init__(
        self,
        message: str,
        *,
        code: int | None = None,
        status: int | None = None,
        retry_after: float | None = None,
        details: tuple[str, ...] = (),
        outage: bool = False,
        broken: bool = False,
        another: bool = False,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        """The API's own error number, such as 514; None when the API named none."""
        self.status = status
        """The HTTP status; None when no answer came."""
        self.retry_after = retry_after
        """Seconds the answer asked to wait before the next call (`Retry-After`)."""
        self.details = details
        """The texts of the envelope's `error_message_description`."""
        self.outage = outage
        """True if it looks as if the whole service fails: no connection, a time-out, HTTP 5xx."""
        self.broken = broken
        """True if no answer of the API could be read: the connection was lost after sending, or the answer is empty, cut off or a page."""
        self.another = another
        """True if the API says that it added or created something, but names another group, number, address or name than was asked for."""

    def __str__(self) -> str:
        told = ": ".join((self.message, "; ".join(self.details))) if self.details else self.message
        numbers = [f"code {self.code}"] if self.code is not None else []
        if self.status is not None:
            numbers.append(f"HTTP {self.status}")
        return f"{told} ({', '.join(numbers)})" if numbers else told


class NotSent(CoupontoolsError):  # noqa: N818 - the name says what is known
    """Nothing left this machine: try again."""


class NotCarriedOut(CoupontoolsError):  # noqa: N818 - the name says what is known
    """The API answered that it did nothing for now: try again after `retry_after`."""


class MayHaveHappened(CoupontoolsError):  # noqa: N818 - the name says what is known
    """Bytes had begun to leave and no clear answer came: read back before trying again."""


class AccountRefused(CoupontoolsError):  # noqa: N818 - the name says what is known
    """The account, or one of its channels, is refused: hold every call of `scope` until a probe succeeds."""

    def __init__(
        self,
        message: str,
        *,
        scope: Scope = "account",
        code: int | None = None,
        status: int | None = None,
        retry_after: float | None = None,
        details: tuple[str, ...] = (),
    ) -> None:
        super().__init__(message, code=code, status=status, retry_after=retry_after, details=details)
        self.scope: Scope = scope

    @property
    def is_redirect(self) -> bool:
        """Was the call redirected? Many servers redirect after they have carried out a form (RFC 9110, section 15.4.4)."""
        return self.code is None and self.status is not None and 300 <= self.status <= 399


class Rejected(CoupontoolsError):  # noqa: N818 - the name says what is known
    """The API refused this call for good: give up, the same call will be refused again."""
