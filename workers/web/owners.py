"""Who owns an import. Whoever uploaded a file sees its rows; others who may see the import see numbers only.

A separate cookie identifies the owner. It lasts as long as the file is kept, so that somebody who signs in again the next morning still
finds the refused rows. Signing out removes it, because somebody else may use this browser next.
"""

from __future__ import annotations

import hashlib
import secrets
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from workers.web.door import is_https
from workers.web.import_shelf import KEPT_SECONDS
from workers.web.sessions import Session

__all__ = ["forget_owner", "mark_owner", "owner_of", "remember"]

_COOKIE: Final = "coupontools_imports"
_PATH: Final = "/imports"
#: The length of the secrets that we make; a cookie of another length is not ours.
_LENGTH: Final = 32


def owner_of(request: Request, who: Session) -> str:
    """Return the digest under which this browser's imports are kept; empty for a browser that has none."""
    # A program that brings the token itself keeps no cookies: all programs with this token are one owner.
    secret = request.cookies.get(_COOKIE, "") if who.name else "the token itself"
    return _digest(who, secret) if not who.name or len(secret) == _LENGTH else ""


def mark_owner(request: Request, who: Session) -> tuple[str, str]:
    """Return the digest for a new import, and the secret for ``remember`` to store in the browser."""
    if owner := owner_of(request, who):
        return owner, request.cookies.get(_COOKIE, "")
    secret = secrets.token_urlsafe(24)
    return _digest(who, secret), secret


def remember(request: Request, response: Response, secret: str) -> None:
    """Store the secret in the browser for as long as the newest file is kept."""
    response.set_cookie(
        _COOKIE,
        secret,
        max_age=int(KEPT_SECONDS),
        path=_PATH,
        httponly=True,
        samesite="strict",
        secure=is_https(request),
    )


def forget_owner(request: Request, response: Response) -> None:
    """Make this browser the owner of nothing."""
    response.delete_cookie(_COOKIE, path=_PATH, httponly=True, samesite="strict", secure=is_https(request))


def _digest(who: Session, secret: str) -> str:
    return hashlib.sha256(f"{who.role}\n{secret}".encode("utf-8", "replace")).hexdigest()
