"""Faults that are another answer in place of the API's: gateways, overload, foreign bodies, account errors, odd forms."""

import time
from collections.abc import Mapping
from dataclasses import replace
from email.utils import formatdate
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field

from sandbox.answers import HTML, Answer
from sandbox.envelopes import EnvelopeForm, account_text
from sandbox.exchange import Exchange
from sandbox.fault_base import Fault
from sandbox.shapes import SHAPES, shaped


def _page(status: int, title: str) -> Answer:
    return Answer(
        status, f"<html><head><title>{title}</title></head><body>{title}</body></html>".encode(), HTML
    )


_ANSWERS: Final[Mapping[str, Answer]] = {
    "rate_limited": Answer(429, b"{}"),
    "unavailable": _page(503, "503 Service Temporarily Unavailable"),
    "bad_gateway": _page(502, "502 Bad Gateway"),
    "error_500": _page(500, "500 Internal Server Error"),
    "empty": Answer(200, b""),
    "html": _page(200, "Maintenance"),
    "redirect": Answer(302, b"", HTML),
}


class _Answered(Fault):
    """The kind's answer, the same for every call, from a server in front of the API."""

    async def perform(self, exchange: Exchange) -> None:
        await exchange.answer(replace(_ANSWERS[self.kind], headers=self.headers()))

    def headers(self) -> tuple[tuple[bytes, bytes], ...]:
        """Return the answer's headers beside the content type."""
        return ()


class _AsksToWait(_Answered):
    """An answer with Retry-After as seconds or as an HTTP date (RFC 9110, section 10.2.3), or without."""

    retry_after: Annotated[int, Field(ge=0)] = 1
    form: Literal["seconds", "date", "none"] = "seconds"

    def headers(self) -> tuple[tuple[bytes, bytes], ...]:
        if self.form == "none":
            return ()
        date = formatdate(time.time() + self.retry_after, usegmt=True)
        return ((b"retry-after", (date if self.form == "date" else str(self.retry_after)).encode()),)


class _EitherWay(_Answered):
    """An answer from a server that may have passed the call on to the API before."""

    carry_out: bool = False

    async def perform(self, exchange: Exchange) -> None:
        if self.carry_out:
            exchange.carry_out()
        await super().perform(exchange)


class RateLimited(_AsksToWait):
    """429; not carried out."""

    kind: Literal["rate_limited"]


class Unavailable(_EitherWay, _AsksToWait):
    """503 with an HTML page."""

    kind: Literal["unavailable"]


class Foreign(_EitherWay):
    """502 or 500 with an HTML page; 200 with an empty body or with a maintenance page."""

    kind: Literal["bad_gateway", "error_500", "empty", "html"]


class Redirect(_EitherWay):
    """302 to `location`."""

    kind: Literal["redirect"]
    location: Annotated[str, Field(pattern=r"^[\x21-\x7e]+$")] = "/login"

    def headers(self) -> tuple[tuple[bytes, bytes], ...]:
        return ((b"location", self.location.encode()),)


class AccountError(Fault):
    """The account is refused with this code, in the endpoint's own words; not carried out."""

    kind: Literal["account_error"]
    code: Literal[1000, 101, 102, 103, 104] = 1000

    async def perform(self, exchange: Exchange) -> None:
        text = account_text(self.code, exchange.endpoint.channel)
        await exchange.answer(exchange.failure(((self.code, text),)))


class Envelope(Fault):
    """Any failed envelope; form and HTTP status follow the settings unless given."""

    kind: Literal["envelope"]
    code: int = 300
    message: str = "Wrong value"
    form: EnvelopeForm | None = None
    status: Annotated[int, Field(ge=200, le=599)] | None = None
    retry_after: Annotated[int, Field(ge=0)] | None = None
    carry_out: bool = False

    async def perform(self, exchange: Exchange) -> None:
        if self.carry_out:
            exchange.carry_out()
        answer = exchange.failure(((self.code, self.message),), self.form, self.status)
        if self.retry_after is not None:
            answer = replace(answer, headers=((b"retry-after", b"%d" % self.retry_after),))
        await exchange.answer(answer)


def _known(shape: str) -> str:
    if shape not in SHAPES:
        raise ValueError(f"there is no shape {shape!r}; there are {', '.join(SHAPES)}")
    return shape


class Shaped(Fault):
    """The call is carried out, and its answer written in other forms than the vendor's examples; see `SHAPES`."""

    kind: Literal["shaped"]
    shapes: Annotated[list[Annotated[str, AfterValidator(_known)]], Field(min_length=1)]

    async def perform(self, exchange: Exchange) -> None:
        answer = exchange.carry_out()
        await exchange.answer(replace(answer, body=shaped(answer.whole(), self.shapes)))
