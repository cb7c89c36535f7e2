"""What an answer means: the vendor's envelope decides if its code is one of the vendor's, else the HTTP status does.

An envelope is the answer's `status` object: `{"status": "OK"}`, or `{"status": "failed", "errors": {...}}`
with `error_code` (a number, a numeric string, or a list of them), `error_message` and
`error_message_description` (a text or a list of texts). The vendor does not say with which HTTP status a
failed envelope comes, and its codes 500-599 are no HTTP statuses.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from coupontools.errors import (
    AccountRefused,
    CoupontoolsError,
    MayHaveHappened,
    NotCarriedOut,
    Rejected,
    Scope,
)
from coupontools.models import Channel
from coupontools.retry_after import retry_after

ACCOUNT_CODES = frozenset({1000, 101, 102})
"""Bad credentials, account expired, subaccount misuse (the vendor's public error list)."""
CHANNEL_CODES = frozenset({103, 104})
"""Account not connected with the SMS or email service (vendor's document, 'Possible errors')."""
FINAL_CODES = frozenset({200, 300, 301, 302, 303, 304, 305, 509, 514})
"""Documented codes about the call itself. Their texts may repeat what was sent, so a group named "rate limit" must
not be taken for the API's word on its rate limit."""

# Not within a word: "Corporate limit of contacts reached" is about contacts, not about pace.
_PACE = re.compile(r"\b(too many requests|rate[ _-]?limit)", re.IGNORECASE)
_HTTP_429 = re.compile(r"\s*HTTP/[0-9.]+ 429\b", re.IGNORECASE)
_HTTP_401 = re.compile(r"\s*HTTP/[0-9.]+ 40[13]\b", re.IGNORECASE)
_HTTP_5XX = re.compile(r"\s*HTTP/[0-9.]+ 5[0-9]{2}\b", re.IGNORECASE)
_LONGEST_TEXT, _MOST_TEXTS, _DEEPEST_CODE = 500, 20, 4


@dataclass(frozen=True, slots=True)
class Reply:
    """What is known of an answer besides its document: status, headers, and the channel that was called."""

    status: int
    headers: Mapping[str, str]
    channel: Channel | None
    conceal: Callable[[str], str] = field(repr=False)
    """Takes the secret out of a text, should the API ever repeat it."""

    def texts(self, value: object) -> Iterator[str]:
        """Yield the texts of a value that is one or a list of them, without the secret and cut to length."""
        for one in _several(value)[:_MOST_TEXTS]:
            if isinstance(one, (str, int)) and (told := str(one).strip()):
                yield self.conceal(told)[:_LONGEST_TEXT]


def judge(reply: Reply, envelope: object) -> None:
    """Return if the envelope says OK; else raise the error that the answer means.

    Raises:
        AccountRefused, NotCarriedOut, Rejected, MayHaveHappened: see each class.
    """
    word = str(envelope.get("status", "")).strip().lower() if isinstance(envelope, dict) else ""
    if word == "ok":
        return
    if isinstance(envelope, dict) and (word == "failed" or envelope.get("errors")):
        raise _failed(reply, envelope)
    # Without any status the document is not the API's, but perhaps a gateway's ({"message": "Down for maintenance"}).
    raise without_envelope(reply, "the answer has no readable status", broken=envelope is None)


def _failed(reply: Reply, envelope: Mapping[str, Any]) -> CoupontoolsError:
    errors = envelope.get("errors")
    one = isinstance(errors, dict) and not all(key.isdecimal() for key in errors)
    entries = [entry for entry in ([errors] if one else _several(errors)) if isinstance(entry, dict)]
    # In PHP, an exception without a code has the code 0.
    codes = [code for entry in entries for code in _codes(entry.get("error_code")) if code]
    messages = [told for entry in entries for told in reply.texts(entry.get("error_message"))]
    details = tuple(told for entry in entries for told in reply.texts(entry.get("error_message_description")))
    message = "; ".join(messages) or "the API gave no reason"
    refusals = [code for code in codes if code in ACCOUNT_CODES | CHANNEL_CODES]
    final = [code for code in codes if code in FINAL_CODES]
    code = next(iter(refusals or final or codes), None)
    status, wait = reply.status, retry_after(reply.headers)
    told: dict[str, Any] = {"code": code, "status": status, "retry_after": wait, "details": details}
    if refusals:
        scope: Scope = "account"
        if reply.channel is not None and ACCOUNT_CODES.isdisjoint(refusals):
            scope = reply.channel.value
        return AccountRefused(message, scope=scope, **told)
    if status == 429 or _too_many(codes, messages, details):
        return NotCarriedOut(message, **told)
    if final:
        return Rejected(message, **told)
    if code is None and any(_HTTP_401.match(text) for text in messages):
        # This is the vendor's text for bad credentials ("HTTP/1.0 401 Unauthorized. ..."); only the number 1000 is missing.
        return AccountRefused(message, **told)
    if status == 408 or status >= 500 or any(_HTTP_5XX.match(text) for text in (*messages, *details)):
        # A server that fails may have carried the call out before, and a second call would double it. A code that
        # the vendor does not list says nothing against that: gateways and frameworks have codes of their own.
        return MayHaveHappened(message, outage=True, **told)
    if 300 <= status <= 399 or (code is None and status in {401, 403}):
        return without_envelope(reply, message)
    return Rejected(message, **told)


def without_envelope(reply: Reply, message: str, *, broken: bool = False) -> CoupontoolsError:
    """Return what an answer without a readable envelope means, by its HTTP status; ``broken`` if it is no document of the API at all.

    A redirect and 401/403 are about the address or the credentials, 429 says that nothing was done. No other
    status is a clear answer. A 2xx lacks the API's own words. A 404 or 400 comes from a server in between, since
    the API would have sent an envelope; that server may have passed the call on before.
    """
    status, wait = reply.status, retry_after(reply.headers)
    if 300 <= status <= 399:
        return AccountRefused("the API's address redirects elsewhere", status=status, retry_after=wait)
    if status in {401, 403}:
        return AccountRefused("the credentials are refused", status=status, retry_after=wait)
    if status == 429:
        return NotCarriedOut("too many requests", status=status, retry_after=wait)
    outage = status == 408 or status >= 500
    if outage:
        message = f"the server fails: {message}"
    # A page with a 4xx may be a firewall's, and concern this call alone.
    broken = broken and 200 <= status <= 299
    return MayHaveHappened(message, status=status, retry_after=wait, outage=outage, broken=broken)


def _several(value: object) -> list[Any]:
    # PHP writes a list with holes as an object.
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else [value]


def _codes(value: object, depth: int = 0) -> Iterator[int]:
    # PHP writes a whole number that it computed as a float ("509.0").
    if isinstance(value, (list, dict)):
        if depth < _DEEPEST_CODE:
            for one in _several(value)[:_MOST_TEXTS]:
                yield from _codes(one, depth + 1)
    elif isinstance(value, (str, int, float)) and (
        match := re.fullmatch(r"\s*([0-9]{1,9})(\.0+)?\s*", str(value))
    ):
        yield int(match[1])


def _too_many(codes: list[int], messages: list[str], details: tuple[str, ...]) -> bool:
    if 429 in codes or any(_HTTP_429.match(told) for told in messages):
        return True
    return FINAL_CODES.isdisjoint(codes) and any(_PACE.search(told) for told in (*messages, *details))
