"""Faults that are an answer of another kind: gateways, overload, account errors, empty and foreign bodies."""

import time
from abc import abstractmethod
from email.utils import formatdate
from typing import Annotated, Literal

from pydantic import Field

from sandbox.answers import HTML, Answer
from sandbox.envelopes import EnvelopeForm, account_text
from sandbox.exchange import Exchange
from sandbox.fault_base import Behaviour

RetryAfterForm = Literal["seconds", "date", "none"]


def _page(status: int, title: str) -> Answer:
    return Answer(
        status, f"<html><head><title>{title}</title></head><body>{title}</body></html>".encode(), HTML
    )


def _retry_after(form: RetryAfterForm, seconds: int) -> tuple[tuple[bytes, bytes], ...]:
    """The Retry-After header in either form of RFC 9110, section 10.2.3, or none."""
    if form == "none":
        return ()
    value = str(seconds) if form == "seconds" else formatdate(time.time() + seconds, usegmt=True)
    return ((b"retry-after", value.encode()),)


class _Answered(Behaviour):
    """A fault that is one answer, the same for every call, in place of the API's."""

    async def perform(self, exchange: Exchange) -> None:
        await exchange.answer(self.answer())

    @abstractmethod
    def answer(self) -> Answer:
        """The answer to send."""


class _AnsweredEitherWay(_Answered):
    """Such an answer from something in front of the API, which may have passed the call on before."""

    carry_out: bool = False

    async def perform(self, exchange: Exchange) -> None:
        if self.carry_out:
            exchange.carry_out()
        await super().perform(exchange)


class RateLimited(_Answered):
    """429, with Retry-After as seconds or as an HTTP date; not carried out."""

    kind: Literal["rate_limited"] = "rate_limited"
    retry_after: Annotated[int, Field(ge=0)] = 1
    form: RetryAfterForm = "seconds"

    def answer(self) -> Answer:
        return Answer(429, b"{}", headers=_retry_after(self.form, self.retry_after))


class Unavailable(_AnsweredEitherWay):
    """503, with Retry-After as seconds or as an HTTP date."""

    kind: Literal["unavailable"] = "unavailable"
    retry_after: Annotated[int, Field(ge=0)] = 1
    form: RetryAfterForm = "seconds"

    def answer(self) -> Answer:
        page = _page(503, "503 Service Temporarily Unavailable")
        return Answer(503, page.body, HTML, headers=_retry_after(self.form, self.retry_after))


class BadGateway(_AnsweredEitherWay):
    """502 with an HTML page."""

    kind: Literal["bad_gateway"] = "bad_gateway"

    def answer(self) -> Answer:
        return _page(502, "502 Bad Gateway")


class Error500(_AnsweredEitherWay):
    """500 with an HTML page."""

    kind: Literal["error_500"] = "error_500"

    def answer(self) -> Answer:
        return _page(500, "500 Internal Server Error")


class Empty(_AnsweredEitherWay):
    """200 with an empty body."""

    kind: Literal["empty"] = "empty"

    def answer(self) -> Answer:
        return Answer(200, b"")


class Html(_AnsweredEitherWay):
    """200 with an HTML page, as a maintenance page or a captive portal answers."""

    kind: Literal["html"] = "html"

    def answer(self) -> Answer:
        return _page(200, "Maintenance")


class Redirect(_AnsweredEitherWay):
    """302 to `location`."""

    kind: Literal["redirect"] = "redirect"
    location: Annotated[str, Field(pattern=r"^[\x21-\x7e]+$")] = "/login"

    def answer(self) -> Answer:
        return Answer(302, b"", HTML, headers=((b"location", self.location.encode()),))


class AccountError(Behaviour):
    """The account is refused with this code, in the endpoint's own words; not carried out."""

    kind: Literal["account_error"] = "account_error"
    code: Literal[1000, 101, 102, 103, 104] = 1000

    async def perform(self, exchange: Exchange) -> None:
        await exchange.answer(
            exchange.failure(((self.code, account_text(self.code, exchange.call.endpoint)),))
        )


class Envelope(Behaviour):
    """Any failed envelope; form and HTTP status follow the settings unless given. Not carried out."""

    kind: Literal["envelope"] = "envelope"
    code: int = 300
    message: str = "Wrong value"
    form: EnvelopeForm | None = None
    status: Annotated[int, Field(ge=200, le=599)] | None = None

    async def perform(self, exchange: Exchange) -> None:
        await exchange.answer(exchange.failure(((self.code, self.message),), self.form, self.status))
