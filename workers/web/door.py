"""Who may come in: every request to a path that is not open is checked here before it is carried out."""

from __future__ import annotations

import hmac
from typing import Final

import structlog
from starlette.datastructures import FormData
from starlette.requests import Request

from config import Settings
from workers.http_server import Refused
from workers.web.sessions import COOKIE, Session, Sessions
from workers.web.tokens import Role, Slowly, Tokens

__all__ = ["FORM_TOKEN", "Door", "is_https"]

log = structlog.get_logger("workers.web")

#: The field in which each form carries its session's token.
FORM_TOKEN: Final = "form_token"  # noqa: S105 - a name
_BEARER: Final = "bearer "


def is_https(request: Request) -> bool:
    """Return whether the browser speaks https, as the proxy in front of us says."""
    told = request.headers.get("x-forwarded-proto", request.url.scheme)
    return told.partition(",")[0].strip().lower() == "https"


class Door:
    """Lets people in by their token, and knows them again by their session."""

    def __init__(self, settings: Settings) -> None:
        self._tokens = Tokens(settings)
        self._slowly = Slowly()
        self.sessions = Sessions(self._tokens)

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
        if role := self._tokens.role_of(presented):
            return role
        await self._slowly.wait()
        log.warning("web.wrong_token")
        raise Refused(401, "this token is wrong", www_authenticate="Bearer")

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
