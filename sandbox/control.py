"""The control API under /_sandbox/: faults, data, settings, and what was seen. It needs no credentials."""

from collections.abc import Awaitable, Callable
from typing import Any

import orjson
from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sandbox.control_models import (
    ControlInput,
    IssueWebhook,
    ListRequests,
    Reset,
    SeedContacts,
    SeedGroups,
    sentence,
)
from sandbox.state import SandboxState

Handler = Callable[[dict[str, Any]], object]


def control_routes(state: SandboxState) -> list[Route]:
    """Return the routes of the control API over one sandbox's state."""

    def clear_faults(_fields: dict[str, Any]) -> object:
        state.faults.clear()
        return {"faults": []}

    def follow(model: type[ControlInput]) -> Handler:
        return lambda fields: model.model_validate(fields).follow(state)

    handlers: dict[tuple[str, str], Handler] = {
        ("POST", "faults"): lambda fields: state.faults.install(fields).shown(),
        ("GET", "faults"): lambda _: {"faults": state.faults.shown()},
        ("DELETE", "faults"): clear_faults,
        ("GET", "state"): lambda _: state.store.shown(),
        ("GET", "stats"): lambda _: state.journal.stats(),
        ("GET", "requests"): follow(ListRequests),
        ("POST", "reset"): follow(Reset),
        ("POST", "settings"): lambda fields: state.change_settings(fields).shown(),
        ("POST", "groups"): follow(SeedGroups),
        ("POST", "contacts"): follow(SeedContacts),
        ("POST", "webhooks"): follow(IssueWebhook),
    }
    return [
        Route(f"/_sandbox/{path}", _endpoint(handler), methods=[method])
        for (method, path), handler in handlers.items()
    ]


def _endpoint(handler: Handler) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        try:
            answer = handler(await _fields(request))
        except ValidationError as error:
            return _json(400, {"error": sentence(error.errors())})
        except ValueError as error:
            return _json(400, {"error": str(error)})
        return _json(200, answer)

    return endpoint


async def _fields(request: Request) -> dict[str, Any]:
    if request.method == "GET":
        return dict(request.query_params)
    body = await request.body()
    try:
        fields = orjson.loads(body) if body else {}
    except orjson.JSONDecodeError as error:
        raise ValueError(f"the body is not JSON: {error}") from error
    if not isinstance(fields, dict):
        raise ValueError("the body must be a JSON object")  # noqa: TRY004 - one kind of error for wrong input
    return fields


def _json(status: int, document: object) -> Response:
    return Response(orjson.dumps(document), status, media_type="application/json")
