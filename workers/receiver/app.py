"""The receiver as an ASGI application: what it takes, and what it answers."""

from __future__ import annotations

import asyncio
import hmac
import re
from collections.abc import Awaitable
from typing import Any, Final

import orjson
import structlog
from starlette.types import ASGIApp, Receive, Scope, Send

from actors import JOBS, InvalidJob
from coupontools.webhooks import MAX_BYTES
from workers.broker.entries import Unreadable, read_object
from workers.http_server import Refused
from workers.producer import Enqueued, job_message
from workers.receiver.connections import LINGER_SECONDS, STATE_KEY, Connection
from workers.receiver.intake import Intake, Unavailable

__all__ = ["create_app"]

log = structlog.get_logger("workers.receiver")

#: Retry-After of a 503, in seconds.
RETRY_AFTER_SECONDS: Final = 5

_JOB: Final = JOBS["verify_webhook"]
#: The token follows.
_WEBHOOKS: Final = "/webhooks/"
#: Scheme and host before the path, from a client that takes this server for a proxy: https://www.rfc-editor.org/rfc/rfc9112#section-3.2.2
_ORIGIN: Final = re.compile(r"https?://[^/]*", re.IGNORECASE)


class _Left(Exception):  # noqa: N818 - says what happened to the request
    """The connection was closed before the request was whole: nobody waits for an answer."""


def create_app(token: str, intake: Intake) -> ASGIApp:
    """Return the application, which takes webhooks under this token.

    It is bare ASGI: a router and a middleware stack would cost every call, and two paths need neither. It works under
    `workers.receiver.serve` only, because it needs that server's `Connection`.
    """
    secret = token.encode()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        path = _path(scope)
        if path.startswith(_WEBHOOKS):
            await _respond(f"{_WEBHOOKS}•••", _take(secret, intake, scope, receive), scope, send)
        elif path == "/health":
            await _respond(path, _health(scope), scope, send)
        else:
            await _respond("•••", _nothing(), scope, send)

    return app


def _path(scope: Scope) -> str:
    """Return the path of the request, also if its target names the server (`POST http://host/webhooks/...`)."""
    path: str = scope["path"]
    if path.startswith("/"):
        return path
    found = _ORIGIN.match(path)
    return path[found.end() :] if found else path


async def _respond(shown: str, document: Awaitable[dict[str, Any]], scope: Scope, send: Send) -> None:
    """Answer a request with the document, or log one line that it was refused, and why.

    The line has the path as ``shown``: the real one may contain a token even if the rest is misspelt.
    """
    connection: Connection = scope["state"][STATE_KEY]
    try:
        told = await document
    except _Left:
        return
    except Refused as refusal:
        log.info("request.refused", path=shown, status=refusal.status, reason=refusal.reason)
        answer = orjson.dumps({"error": refusal.reason})
        if connection.request_is_whole:
            await _answer(answer, send, connection, refusal.status, refusal.headers)
        else:
            await _answer_and_close(answer, send, refusal, connection)
    else:
        await _answer(orjson.dumps(told), send, connection)
    finally:
        connection.others.release(connection)


async def _answer(
    body: bytes,
    send: Send,
    connection: Connection,
    status: int = 200,
    more: dict[str, str] | None = None,
    *,
    last: bool = True,
) -> None:
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    if more:
        headers += [(name.encode(), value.encode()) for name, value in more.items()]
    with connection.in_one_packet():
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body, "more_body": not last})


async def _answer_and_close(body: bytes, send: Send, refusal: Refused, connection: Connection) -> None:
    """Answer a request whose body was not read to its end, and close its connection a moment later."""
    connection.read_no_more()
    headers = {**refusal.headers, "connection": "close"}
    await _answer(body, send, connection, refusal.status, headers, last=False)
    await asyncio.sleep(LINGER_SECONDS)
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _nothing() -> dict[str, Any]:
    raise Refused(404, "there is nothing here")


async def _health(scope: Scope) -> dict[str, Any]:
    if scope["method"] not in {"GET", "HEAD"}:
        raise Refused(405, "only GET is allowed here", allow="GET, HEAD")
    return {"status": "ok"}


async def _take(secret: bytes, intake: Intake, scope: Scope, receive: Receive) -> dict[str, Any]:
    """Enqueue `verify_webhook` for the body, and return its message id once Redis has the job."""
    presented = _path(scope).removeprefix(_WEBHOOKS)
    if not hmac.compare_digest(presented.encode(), secret):
        # The same answer as for any other path: a guess must not show that this path exists.
        return await _nothing()
    if scope["method"] != "POST":
        raise Refused(405, "only POST is allowed here", allow="POST")
    message = _message(await _body(scope, receive))
    try:
        await intake.put(message)
    except Unavailable:
        reason = "Redis is away or full; send the webhook again"
        raise Refused(503, reason, retry_after=str(RETRY_AFTER_SECONDS)) from None
    return {"message_id": message.message_id}


async def _body(scope: Scope, receive: Receive) -> bytes:
    """Return the whole body; raise Refused as soon as it is known to be too long."""
    connection: Connection = scope["state"][STATE_KEY]
    too_long = Refused(413, f"a webhook has at most {MAX_BYTES:,} bytes")
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
            raise Refused(503, "too many webhooks at once", retry_after=str(RETRY_AFTER_SECONDS))
    return bytes(connection.held)


def _message(body: bytes) -> Enqueued:
    """Return the job that verifies this webhook; raise Refused if the worker would not carry it out."""
    try:
        _JOB.parse({"payload": read_object(body, "the body")})
    except (Unreadable, InvalidJob) as error:
        raise Refused(400, str(error)) from None
    # Pass the body on as it came: parsed and written again, 1.10 would become 1.1.
    return job_message(_JOB.actor, {"payload": orjson.Fragment(body)})
