"""What a page is: its place in the navigation, what can be done there, and what a visit to it knows."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlencode

from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from workers.http_server import Refused
from workers.web.desk import Desk
from workers.web.sessions import Role, Session

__all__ = ["Action", "Page", "PlainHandler", "Refused", "Visit"]

#: The longest form without a file, in bytes.
MOST_BYTES: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class Visit:
    """One request that is allowed, with its form already read and checked to be ours."""

    request: Request
    desk: Desk
    who: Session
    form: FormData

    def asked(self, name: str) -> str:
        """Return a parameter of the address, without blanks at its ends; empty if there is none."""
        return self.request.query_params.get(name, "").strip()

    def given(self, name: str) -> str:
        """Return a field of the form, without blanks at its ends; empty if there is none."""
        value = self.form.get(name, "")
        return value.strip() if isinstance(value, str) else ""

    def named(self, name: str) -> str:
        """Return an id that a link or a form of ours carries, as it is: an id may begin or end with a blank."""
        value = self.form.get(name) or self.request.query_params.get(name, "")
        return value if isinstance(value, str) else ""

    def page(self, template: str, status: int = 200, **context: Any) -> Response:
        """Return a page made from a template."""
        said = self.desk.notes.take(self.who.name)
        return self.desk.templates.page(
            template, status, self.who, self.request.url.path, said=said, **context
        )

    def go(self, path: str, said: str = "", **query: str) -> Response:
        """Redirect the browser, after an action, to a page of ours that says what was done: a reload then repeats nothing."""
        if said:
            self.desk.notes.leave(self.who.name, said)
        return RedirectResponse(f"{path}?{urlencode(query)}" if query else path, 303)


#: Answers a visit in a thread, because it waits for Redis.
PlainHandler = Callable[[Visit], Response]
#: The same, or a coroutine, which must not block.
Handler = PlainHandler | Callable[[Visit], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Action:
    """What one method of one path does."""

    handler: Handler
    #: How long its form may be, in bytes, and how long it may take to come, in seconds.
    most_bytes: int = MOST_BYTES
    seconds: float = 30.0
    #: Does it look through much, so that only a few may run at a time?
    slow: bool = False


@dataclass(frozen=True, slots=True)
class Page:
    """One page of the navigation, and every path that belongs to it."""

    title: str
    path: str
    #: Its actions, by path and then by method.
    actions: Mapping[str, Mapping[str, Action]]
    roles: frozenset[Role] = field(default=frozenset({"operator"}))
