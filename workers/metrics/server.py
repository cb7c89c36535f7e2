"""The HTTP server of the metrics page. Strangers cannot block it: it has few places, and a request has one for a short time only."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

__all__ = ["MetricsServer"]

#: Requests that are read and answered at once, each in a thread.
PLACES = 16
#: A request must be read and answered within so many seconds.
REQUEST_SECONDS = 10.0
#: How long a new request waits for the place of the oldest, in seconds.
PATIENCE_SECONDS = 1.0


class _Handler(WSGIRequestHandler):
    timeout = REQUEST_SECONDS

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the library's name
        """Log nothing: Prometheus asks every few seconds."""


class MetricsServer(ThreadingMixIn, WSGIServer):
    """Serves a WSGI application in a thread of its own, from its making until `stop`.

    A request that was only half sent must not hold a place for ever, and many of them must not keep Prometheus out: when all places are
    taken, the connection that is open longest loses its place.

    Raises OSError if the address cannot be bound.
    """

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, host: str, port: int, application: Callable[..., Any]) -> None:
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._places = threading.BoundedSemaphore(PLACES)
        #: Since when each connection is open, the oldest first. Only the thread that accepts adds one.
        self._open: dict[socket.socket, float] = {}
        super().__init__((host, port), _Handler)
        self.set_app(application)
        self._thread = threading.Thread(target=self.serve_forever, name="metrics", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop serving, and free the port."""
        self.shutdown()
        self.server_close()
        self._thread.join()

    def verify_request(self, request: Any, client_address: Any) -> bool:  # noqa: ARG002 - the library passes it
        """Take a place for the request. Return whether there was one."""
        if self._places.acquire(blocking=False):
            return True
        for oldest in list(self._open)[:1]:
            self._cut(oldest)
        return self._places.acquire(timeout=PATIENCE_SECONDS)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer the request in a thread."""
        self._open[request] = time.monotonic()
        try:
            super().process_request(request, client_address)
        except BaseException:
            # The machine has no thread left just now.
            self._places.release()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Answer the request, and give the place back."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._places.release()

    def shutdown_request(self, request: Any) -> None:
        """Close the connection."""
        self._open.pop(request, None)
        super().shutdown_request(request)

    def service_actions(self) -> None:
        """Cut connections that are open for too long; called about twice a second."""
        for connection, since in list(self._open.items()):
            if time.monotonic() - since > REQUEST_SECONDS:
                self._cut(connection)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Log nothing: a client that sends half a request, or goes before the answer, is no fault of ours."""

    def _cut(self, connection: socket.socket) -> None:
        # Do not close the connection, since its thread still reads from it: this ends the reading.
        self._open.pop(connection, None)
        with suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)
