"""The receiver as an ASGI application: what it takes, and what it answers."""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Awaitable, Callable
from typing import Any, Final

import orjson
import structlog
from starlette.responses import JSONResponse
from starlette.routing import Route, Router
from starlette.types import Receive, Scope, Send

from actors import JOBS, InvalidJob
from coupontools.webhooks import MAX_BYTES
from workers.broker.entries import Unreadable, read_object
from workers.producer import Enqueued, job_message
from workers.receiver.connections import LINGER_SECONDS, STATE_KEY, Connection
from workers.receiver.intake import Intake, Unavailable

__all__ = ["create_app"]

log = structlog.get_logger("workers.receiver")

#: After so many seconds a sender that was told 503 may come again.
RETRY_AFTER_SECONDS: Final = 5

_JOB: Final = JOBS["verify_webhook"]
#: The token follows.
_WEBHOOKS: Final = "/webhooks/"

#: Returns what a request with the status 200 is told.
_Handler = Callable[[Scope, Receive], Awaitable[dict[str, Any]]]


class _Refused(Exception):  # noqa: N818 - says what happened to the request
    """The request is answered with another status than 200; the reason is told to its sender."""

    def __init__(self, status: int, reason: str, **headers: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


class _Left(Exception):  # noqa: N818 - says what happened to the request
    """The connection was closed before the request was whole: nobody waits for an answer."""


def create_app(token: str, intake: Intake) -> Router:
    """Return the application, which takes webhooks under this token.

    It is a bare Starlette router: a middleware stack would cost every call, and nothing here needs one. It works under
    `workers.receiver.serve` only, whose connections it knows.
    """
    routes = [
        Route("/health", _Endpoint(_health, "/health")),
        Route(_WEBHOOKS + "{token:path}", _Endpoint(_Webhooks(token, intake).take, f"{_WEBHOOKS}•••")),
    ]
    return Router(routes, redirect_slashes=False, default=_Endpoint(_nothing, "•••"))


class _Endpoint:
    """Answers requests as a handler says, and logs one line for each.

    The line shows `path` in place of the real one, which may hold a token, also where somebody has misspelt the rest.
    """

    def __init__(self, handler: _Handler, path: str) -> None:
        self._handler = handler
        self._path = path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        connection: Connection = scope["state"][STATE_KEY]
        try:
            told = await self._handler(scope, receive)
        except _Left:
            return
        except _Refused as refusal:
            log.info("request.refused", path=self._path, status=refusal.status, reason=refusal.reason)
            answer = JSONResponse({"error": refusal.reason}, refusal.status, refusal.headers)
            if connection.request_is_whole:
                await answer(scope, receive, send)
            else:
                await _answer_and_close(answer, connection, send)
        else:
            await JSONResponse(told)(scope, receive, send)
        finally:
            connection.others.release(connection)


async def _answer_and_close(answer: JSONResponse, connection: Connection, send: Send) -> None:
    """Answer a request whose body is not read to its end, and close its connection a moment later."""
    connection.read_no_more()
    headers = [*answer.raw_headers, (b"connection", b"close")]
    await send({"type": "http.response.start", "status": answer.status_code, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body, "more_body": True})
    await asyncio.sleep(LINGER_SECONDS)
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _nothing(scope: Scope, receive: Receive) -> dict[str, Any]:
    del scope, receive
    raise _Refused(404, "there is nothing here")


async def _health(scope: Scope, receive: Receive) -> dict[str, Any]:
    del receive
    if scope["method"] not in {"GET", "HEAD"}:
        raise _Refused(405, "only GET is allowed here", allow="GET, HEAD")
    return {"status": "ok"}


class _Webhooks:
    """Takes webhooks, and answers once Redis has the job."""

    def __init__(self, token: str, intake: Intake) -> None:
        self._token = token.encode()
        self._intake = intake

    async def take(self, scope: Scope, receive: Receive) -> dict[str, Any]:
        """Enqueue `verify_webhook` for the body, and tell its message id."""
        # Not Starlette's parameter, which leaves out a line break at the end.
        presented = scope["path"].removeprefix(_WEBHOOKS)
        if not hmac.compare_digest(presented.encode(), self._token):
            # As for any other path: whoever guesses must not learn what is here.
            await _nothing(scope, receive)
        if scope["method"] != "POST":
            raise _Refused(405, "only POST is allowed here", allow="POST")
        message = _message(await _body(scope, receive))
        try:
            await self._intake.put(message)
        except Unavailable:
            reason = "Redis is away or full; send the webhook again"
            raise _Refused(503, reason, retry_after=str(RETRY_AFTER_SECONDS)) from None
        log.info("webhook.accepted", message_id=message.message_id)
        return {"message_id": message.message_id}


async def _body(scope: Scope, receive: Receive) -> bytes:
    """Return the whole body; raise _Refused as soon as it is known to be too long."""
    connection: Connection = scope["state"][STATE_KEY]
    too_long = _Refused(413, f"a webhook has at most {MAX_BYTES:,} bytes")
    if any(name == b"content-length" and int(value) > MAX_BYTES for name, value in scope["headers"]):
        raise too_long
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise _Left
        part, more = message.get("body", b""), message.get("more_body", False)
        if len(connection.held) + len(part) > MAX_BYTES:
            raise too_long
        if not connection.others.hold(connection, part):
            raise _Refused(503, "too many webhooks at once", retry_after=str(RETRY_AFTER_SECONDS))
    return bytes(connection.held)


def _message(body: bytes) -> Enqueued:
    """Return the job that verifies this webhook; raise _Refused if the worker would not carry it out."""
    try:
        _JOB.parse({"payload": read_object(body, "the body")})
    except (Unreadable, InvalidJob) as error:
        raise _Refused(400, str(error)) from None
    # Not what was read of it: written anew, 1.10 would be another text.
    return job_message(_JOB.actor, {"payload": orjson.Fragment(body)})
