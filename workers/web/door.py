"""Who may come in: every request to a path that is not open is checked here before it is carried out."""

from __future__ import annotations

import asyncio
import hmac
import time
from typing import Final

import structlog
from starlette.datastructures import FormData
from starlette.requests import Request

from config import Settings
from workers.http_server import Refused
from workers.web.sessions import COOKIE, Role, Session, Sessions

__all__ = ["FORM_TOKEN", "Door", "is_https"]

log = structlog.get_logger("workers.web")

#: The field in which each form carries its session's token.
FORM_TOKEN: Final = "form_token"  # noqa: S105 - a name
#: Wrong tokens are answered one after the other, this many seconds apart.
SECONDS_APART: Final = 0.5
#: The longest that an answer waits for its turn, in seconds; while the queue is longer, a wrong token is refused at once.
LONGEST_SECONDS: Final = 10.0
_BEARER: Final = "bearer "


def is_https(request: Request) -> bool:
    """Return whether the browser speaks https, as the proxy in front of us says."""
    told = request.headers.get("x-forwarded-proto", request.url.scheme)
    return told.partition(",")[0].strip().lower() == "https"


class Door:
    """Lets people in by their token, and knows them again by their session."""

    def __init__(self, settings: Settings) -> None:
        self.sessions = Sessions(settings)
        #: When the latest wrong token has its turn.
        self._turn = 0.0

    def refuse_strangers(self, request: Request) -> None:
        """Raise Refused if a page of another site has sent this request."""
        origin = request.headers.get("origin")
        own = f"{'https' if is_https(request) else 'http'}://{request.headers.get('host', '')}"
        if origin is not None and origin.lower() != own.lower():
            # Somebody who sets up a proxy must see which headers it gets wrong.
            raise Refused(
                403,
                f"this request comes from {origin[:200]}, and this page is at {own[:200]}; "
                "a proxy must hand on Host, and set X-Forwarded-Proto",
            )
        if request.headers.get("sec-fetch-site") == "cross-site" and request.method not in {"GET", "HEAD"}:
            raise Refused(403, "this request comes from another site")

    async def who(self, request: Request) -> Session | None:
        """Return the session of a request; None if nobody has signed in.

        Raises:
            Refused: the request brings a wrong token.
        """
        authorization = request.headers.get("authorization", "")
        if authorization[: len(_BEARER)].lower() == _BEARER:
            return Session(await self.role_of(authorization[len(_BEARER) :].strip()), float("inf"))
        return self.sessions.read(request.cookies.get(COOKIE, ""))

    async def role_of(self, presented: str) -> Role:
        """Return the role that a token opens, at once.

        Raises:
            Refused: the token is wrong. The refusal takes half a second, and longer while other wrong tokens wait.
        """
        if role := self.sessions.role_of(presented):
            return role
        await self._wait_for_a_turn()
        log.warning("web.wrong_token")
        raise Refused(401, "this token is wrong", www_authenticate="Bearer")

    async def _wait_for_a_turn(self) -> None:
        """Wait for the turn of one more wrong token. A right token never waits here, so nobody can lock an operator out.

        Raises:
            Refused: its turn would come too late, because too many wait already.
        """
        now = time.monotonic()
        turn = max(now, self._turn) + SECONDS_APART
        if turn - now > LONGEST_SECONDS:
            raise Refused(429, "there were too many wrong tokens; try again in a while", retry_after="10")
        self._turn = turn
        await asyncio.sleep(turn - now)

    @staticmethod
    def check_form(who: Session, form: FormData) -> None:
        """Raise Refused unless the form was made for this session."""
        sent = form.get(FORM_TOKEN, "")
        if not who.name:
            return
        if not isinstance(sent, str) or not hmac.compare_digest(
            sent.encode("utf-8", "replace"), who.form_token.encode()
        ):
            raise Refused(403, "this form was not made for you; go back, reload the page and send it again")
