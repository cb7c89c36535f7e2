"""Signing in with a token, and out."""

from __future__ import annotations

import structlog
from starlette.responses import RedirectResponse, Response

from workers.web.door import Door, is_https
from workers.web.owners import forget_owner
from workers.web.page import Refused, Visit
from workers.web.sessions import COOKIE

__all__ = ["SignIn"]

log = structlog.get_logger("workers.web")


class SignIn:
    """The form that asks for a token. It needs no form token: another site that sends it would have to know the token it asks for."""

    def __init__(self, door: Door) -> None:
        self._door = door

    async def show(self, visit: Visit) -> Response:
        """Return the form; redirect somebody who has signed in already."""
        going_to = _own_path(visit.asked("next"))
        if self._door.sessions.read(visit.request.cookies.get(COOKIE, "")):
            return RedirectResponse(going_to, 303)
        return _form(visit, 200, going_to)

    async def enter(self, visit: Visit) -> Response:
        """Begin a session, if the token is right."""
        going_to = _own_path(visit.given("next"))
        try:
            role = await self._door.role_of(visit.given("token"))
        except Refused as refusal:
            answer = _form(visit, refusal.status, going_to, refusal.reason)
            answer.headers.update(refusal.headers)
            return answer
        response = RedirectResponse(going_to, 303)
        self._door.sessions.begin(role, response, secure=is_https(visit.request))
        log.info("web.signed_in", role=role)
        return response

    async def leave(self, visit: Visit) -> Response:
        """End the session."""
        response = RedirectResponse("/sign-in", 303)
        self._door.sessions.end(visit.who, response, secure=is_https(visit.request))
        forget_owner(visit.request, response)
        return response


def _form(visit: Visit, status: int, going_to: str, problem: str = "") -> Response:
    return visit.desk.templates.page(
        "sign_in.html", status, None, "/sign-in", going_to=going_to, problem=problem
    )


def _own_path(wanted: str) -> str:
    """Return the path to go to after signing in; for an address of another site, our first page. A browser reads `\\\\` as `/`."""
    own = wanted.startswith("/") and wanted.isprintable() and not wanted.replace("\\", "/").startswith("//")
    return wanted if own else "/"
