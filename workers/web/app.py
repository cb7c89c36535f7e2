"""The operators' page as an ASGI application: which paths are open, and how every other request reaches its page."""

from __future__ import annotations

import inspect
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Final, cast, get_args
from urllib.parse import urlencode

import anyio
import redis
import structlog
from anyio.to_thread import run_sync
from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route, Router
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Receive, Scope, Send

from config import Settings
from workers.redis_link import trouble_of
from workers.web import sign_in
from workers.web.desk import Desk
from workers.web.door import Door
from workers.web.forms import read_form
from workers.web.headers import SafeHeaders
from workers.web.page import Action, Page, PlainHandler, Refused, Visit
from workers.web.pages import PAGES
from workers.web.rendering import Templates
from workers.web.sessions import Role, Session
from workers.web.workshop import Workshop

__all__ = ["create_app"]

log = structlog.get_logger("workers.web")

#: Requests that may ask Redis at a time, and beside them those that search through much.
AT_ONCE: Final = 16
SLOW_AT_ONCE: Final = 2

_FILES: Final = StaticFiles(directory=Path(__file__).with_name("static"))


def create_app(settings: Settings, client: redis.Redis) -> tuple[ASGIApp, Router, Desk]:
    """Return the application, its routes, and what its pages share; many threads use the client."""
    desk = Desk(settings, client, Templates(pages_for), Door(settings), Workshop(settings, client))
    guard = _Guard(desk)
    routes = [
        Route("/health", _Endpoint(guard, {"GET": Action(_health)}, roles=None)),
        Route(
            "/sign-in",
            _Endpoint(guard, {"GET": Action(sign_in.show), "POST": Action(sign_in.enter)}, roles=None),
        ),
        Route("/static/{path:path}", _Endpoint(guard, {"GET": Action(_static)}, roles=None)),
        Route("/sign-out", _Endpoint(guard, {"POST": Action(sign_in.leave)}, get_args(Role))),
        *(
            Route(path, _Endpoint(guard, actions, page.roles))
            for page in PAGES
            for path, actions in page.actions.items()
        ),
    ]
    router = Router(routes, redirect_slashes=False, default=_Endpoint(guard, {}, ()))
    return SafeHeaders(router), router, desk


def pages_for(who: Session) -> list[Page]:
    """Return the pages that this session may see."""
    return [page for page in PAGES if who.role in page.roles]


async def _health(visit: Visit) -> Response:
    del visit
    return JSONResponse({"status": "ok"})


async def _static(visit: Visit) -> Response:
    """Return one of our own files."""
    try:
        return await _FILES.get_response(visit.request.path_params["path"], visit.request.scope)
    except HTTPException as error:
        raise Refused(error.status_code, "there is nothing here") from None


class _Guard:
    """Carries requests out, and says why if it refuses one."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self._threads = anyio.CapacityLimiter(AT_ONCE)
        self._slow = anyio.CapacityLimiter(SLOW_AT_ONCE)

    async def carry_out(self, request: Request, who: Session, actions: Mapping[str, Action]) -> Response:
        """Read the form and let the page's own function answer."""
        method = "GET" if request.method == "HEAD" else request.method
        if method not in actions:
            allowed = ", ".join(["HEAD", *actions] if "GET" in actions else actions)
            raise Refused(405, f"only {allowed} is allowed here", allow=allowed)
        action = actions[method]
        form = FormData()
        if method == "POST":
            form = await read_form(request, action)
            self.desk.door.check_form(who, form)
        visit = Visit(request, self.desk, who, form)
        try:
            if inspect.iscoroutinefunction(action.handler):
                return cast(Response, await action.handler(visit))
            handler = cast("PlainHandler", action.handler)
            return await run_sync(handler, visit, limiter=self._slow if action.slow else self._threads)
        except redis.RedisError as error:
            raise Refused(503, trouble_of(error), retry_after="5") from None
        finally:
            await form.close()

    def told(self, request: Request, refusal: Refused, who: Session | None) -> Response:
        """Return why a request was refused: as a page for a browser, as JSON for all others."""
        answer: Response
        if not _is_browser(request):
            answer = JSONResponse({"error": refusal.reason}, refusal.status)
        else:
            answer = self.desk.templates.page(
                "refused.html",
                refusal.status,
                who,
                request.url.path,
                code=refusal.status,
                reason=refusal.reason,
            )
        answer.headers.update(refusal.headers)
        return answer


class _Endpoint:
    """Answers the requests to one path; errors become answers, too."""

    def __init__(self, guard: _Guard, actions: Mapping[str, Action], roles: Collection[Role] | None) -> None:
        self._guard = guard
        self.actions = actions
        #: Who may see it; None: everybody, also without a token.
        self._roles = roles

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        who: Session | None = None
        answer: ASGIApp
        try:
            if self._roles is not None or request.method == "POST":
                self._guard.desk.door.refuse_strangers(request)
            if self._roles is None:
                answer = await self._guard.carry_out(request, _NOBODY, self.actions)
            else:
                who = await self._guard.desk.door.who(request)
                answer = await self._answer(request, who, self._roles)
        except Refused as refusal:
            answer = self._guard.told(request, refusal, who)
        except Exception:
            log.exception("web.failed", path=request.url.path)
            fault = Refused(500, "a fault of ours; the log of `coupontools-worker web` says more")
            answer = self._guard.told(request, fault, who)
        await answer(scope, receive, send)

    async def _answer(self, request: Request, who: Session | None, roles: Collection[Role]) -> Response:
        """Return the answer to a session whose role may see this path; None for ``who`` if nobody has signed in."""
        if who is None:
            if _is_browser(request) and request.method in {"GET", "HEAD"}:
                wanted = request.url.path + (f"?{request.url.query}" if request.url.query else "")
                return RedirectResponse(f"/sign-in?{urlencode({'next': wanted})}", 303)
            raise Refused(
                401,
                "sign in first, or send the token: Authorization: Bearer TOKEN",
                www_authenticate="Bearer",
            )
        if not self.actions:
            raise Refused(404, "there is nothing here")
        if who.role not in roles:
            if request.url.path == "/" and _is_browser(request):
                # Everybody who signs in begins at this path.
                return RedirectResponse(pages_for(who)[0].path, 303)
            raise Refused(403, "your token opens only the import of files")
        return await self._guard.carry_out(request, who, self.actions)


#: The session of every request to an open path.
_NOBODY: Final = Session("importer", 0.0)


def _is_browser(request: Request) -> bool:
    return "text/html" in request.headers.get("accept", "")
