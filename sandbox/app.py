"""The sandbox as an ASGI application: every endpoint of the client's, and the control API beside them."""

from starlette.routing import BaseRoute, Route, Router

from coupontools import ENDPOINTS, Endpoint
from sandbox.control import control_routes
from sandbox.exchange import Exchange, Receive, Scope, Send
from sandbox.operations import carry_out_of
from sandbox.settings import SandboxConfig
from sandbox.state import SandboxState


def create_app(config: SandboxConfig | None = None) -> Router:
    """Return the application, with data and faults of its own.

    It is a bare Starlette router: a middleware stack would cost every call, and nothing here needs one.
    Faults that close or reset a connection work under `sandbox.serve` only.

    Raises:
        LookupError: the client has an endpoint that the sandbox does not serve.
    """
    state = SandboxState(config or SandboxConfig())
    for endpoint in ENDPOINTS:
        carry_out_of(endpoint)
    vendor: list[BaseRoute] = [
        Route(endpoint.path, VendorEndpoint(state, endpoint), methods=["POST"]) for endpoint in ENDPOINTS
    ]
    return Router([*vendor, *control_routes(state)], redirect_slashes=False)


class VendorEndpoint:
    """One endpoint of the vendor's, as a plain ASGI application."""

    def __init__(self, state: SandboxState, endpoint: Endpoint) -> None:
        self._state = state
        self._endpoint = endpoint

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = await _read_body(receive)
        if body is None:
            return
        exchange = Exchange(
            self._endpoint,
            body,
            store=self._state.store,
            journal=self._state.journal,
            settings=self._state.settings,
            scope=scope,
            receive=receive,
            send=send,
        )
        fault = self._state.faults.strike(self._endpoint.name, body)
        if fault is None:
            await exchange.answer(exchange.carry_out())
        else:
            exchange.note_fault(fault.kind)
            await fault.perform(exchange)


async def _read_body(receive: Receive) -> bytes | None:
    """Return the whole body, or None when the client left before it had sent all."""
    parts: list[bytes] = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        parts.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(parts)
