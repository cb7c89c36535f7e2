"""Sessions, and the tokens that begin them.

A session is a signed cookie that says who has signed in and until when, and the token that its forms carry. The process keeps only which
sessions were signed out, so a restart signs nobody out. The signing key is made from the token that began the session: a new token in the
settings ends all sessions that the old one began.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from dataclasses import dataclass
from typing import Final, Literal

from starlette.responses import Response

from config import Settings

__all__ = ["COOKIE", "Role", "Session", "Sessions"]

#: WEB_TOKEN opens every page, as an operator; WEB_IMPORT_TOKEN opens, as an importer, the pages that list this role.
Role = Literal["operator", "importer"]

COOKIE: Final = "coupontools_session"
#: How long a session lasts, in seconds.
SESSION_SECONDS: Final = 12 * 3600


@dataclass(frozen=True, slots=True)
class Session:
    """Who sends a request: a browser that has signed in, or a program with the token itself."""

    role: Role
    #: When it ends (Unix seconds).
    ends: float
    #: The random name of this session; empty if the request brought the token itself.
    name: str = ""
    #: What each of its forms must carry, so that no other site can send one. Empty if the request brought the token itself, which no
    #: other site knows.
    form_token: str = ""


class Sessions:
    """Knows the tokens of this process, begins sessions, and knows them again."""

    def __init__(self, settings: Settings) -> None:
        given: dict[Role, str] = {
            "operator": settings.web_token.get_secret_value(),
            "importer": settings.web_import_token.get_secret_value(),
        }
        self._tokens: dict[Role, bytes] = {role: token.encode() for role, token in given.items() if token}
        self._keys = {
            role: hmac.digest(token, b"coupontools-worker web session", "sha256")
            for role, token in self._tokens.items()
        }
        self._ended: dict[str, float] = {}

    def role_of(self, presented: str) -> Role | None:
        """Return the role that this token opens; None for a wrong one. Takes the same time for every token of the same length."""
        found: Role | None = None
        for role, token in self._tokens.items():
            # Compare with every token, so that the time does not show which one it was.
            if hmac.compare_digest(presented.encode("utf-8", "surrogatepass"), token):
                found = role
        return found

    def begin(self, role: Role, response: Response, *, secure: bool) -> None:
        """Sign in the browser that gets this response."""
        told = f"{role}.{int(time.time() + SESSION_SECONDS)}.{secrets.token_urlsafe(18)}"
        response.set_cookie(
            COOKIE,
            f"{told}.{self._sign(role, told)}",
            max_age=SESSION_SECONDS,
            httponly=True,
            samesite="strict",
            secure=secure,
        )

    def read(self, cookie: str) -> Session | None:
        """Return the session of this cookie; None if the cookie is not ours, or the session is over or was signed out."""
        told, _, signature = cookie.rpartition(".")
        role, _, rest = told.partition(".")
        if role not in self._keys:
            return None
        if not hmac.compare_digest(self._sign(role, told).encode(), signature.encode("utf-8", "replace")):
            return None
        ends, _, name = rest.partition(".")
        session = Session(role, float(ends), name, self._sign(role, f"form\n{told}"))
        return session if self.lasts(session) else None

    def lasts(self, session: Session) -> bool:
        """Return whether a session goes on: its time is not over, and it was not signed out."""
        return session.ends > time.time() and session.name not in self._ended

    def end(self, session: Session, response: Response, *, secure: bool) -> None:
        """Sign this session out, here and in every browser that has its cookie."""
        now = time.time()
        self._ended = {name: ends for name, ends in self._ended.items() if ends > now}
        if session.name:
            self._ended[session.name] = session.ends
        response.delete_cookie(COOKIE, httponly=True, samesite="strict", secure=secure)

    def _sign(self, role: Role, text: str) -> str:
        return hmac.new(self._keys[role], text.encode("utf-8", "replace"), hashlib.sha256).hexdigest()
