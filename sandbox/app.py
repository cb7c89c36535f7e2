"""The sandbox as an ASGI application: nine endpoints of the vendor's, and the control API beside them."""

from starlette.routing import BaseRoute, Route, Router

from sandbox.control import control_routes
from sandbox.exchange import Exchange, Receive, Scope, Send
from sandbox.faults import befall
from sandbox.names import ENDPOINTS, PATHS, EndpointName
from sandbox.settings import SandboxConfig
from sandbox.state import SandboxState


def create_app(config: SandboxConfig | None = None) -> Router:
    """The application, with data and faults of its own.

    It is a bare Starlette router: a middleware stack would cost every call, and nothing here needs one.
    Faults that close or reset a connection work under `sandbox.serve` only.
    """
    state = SandboxState(config or SandboxConfig())
    vendor: list[BaseRoute] = [
        Route(PATHS[endpoint], VendorEndpoint(state, endpoint), methods=["POST"]) for endpoint in ENDPOINTS
    ]
    return Router([*vendor, *control_routes(state)], redirect_slashes=False)


class VendorEndpoint:
    """One endpoint of the vendor's, as a plain ASGI application."""

    def __init__(self, state: SandboxState, endpoint: EndpointName) -> None:
        self._state = state
        self._endpoint = endpoint

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = await _read_body(receive)
        if body is None:
            return
        exchange = Exchange(self._state, self._endpoint, body, scope=scope, receive=receive, send=send)
        behaviour = self._state.faults.strike(self._endpoint)
        if behaviour is None:
            await exchange.answer(exchange.carry_out())
        else:
            await befall(behaviour, exchange)


async def _read_body(receive: Receive) -> bytes | None:
    """The whole body, or None when the client left before it had sent all."""
    parts: list[bytes] = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        parts.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(parts)
