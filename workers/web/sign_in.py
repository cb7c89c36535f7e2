"""Signing in with a token, and out.

The form for signing in carries no form token: another site that sends the form would have to know WEB_TOKEN or WEB_IMPORT_TOKEN.
"""

from __future__ import annotations

import structlog
from starlette.responses import RedirectResponse, Response

from workers.web.door import is_https
from workers.web.owners import forget_owner
from workers.web.page import Refused, Visit
from workers.web.sessions import COOKIE

__all__ = ["enter", "leave", "show"]

log = structlog.get_logger("workers.web")


async def show(visit: Visit) -> Response:
    """Return the form; redirect somebody who has signed in already."""
    going_to = _own_path(visit.asked("next"))
    if visit.desk.door.sessions.read(visit.request.cookies.get(COOKIE, "")):
        return RedirectResponse(going_to, 303)
    return _form(visit, 200, going_to)


async def enter(visit: Visit) -> Response:
    """Begin a session, if the token is right."""
    going_to = _own_path(visit.given("next"))
    try:
        role = await visit.desk.door.role_of(visit.given("token"))
    except Refused as refusal:
        answer = _form(visit, refusal.status, going_to, refusal.reason)
        answer.headers.update(refusal.headers)
        return answer
    response = RedirectResponse(going_to, 303)
    visit.desk.door.sessions.begin(role, response, secure=is_https(visit.request))
    log.info("web.signed_in", role=role)
    return response


async def leave(visit: Visit) -> Response:
    """End the session."""
    response = RedirectResponse("/sign-in", 303)
    visit.desk.door.sessions.end(visit.who, response, secure=is_https(visit.request))
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
