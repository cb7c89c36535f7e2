"""A sandbox process for each test process, clean for each test; two ways to call it, httpx and a socket."""

import json
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from sandbox import Sandbox

CREDENTIALS = {"X-Client-Id": "sandbox-id", "X-Client-Secret": "sandbox-secret"}
PATHS = {"sms": "/v3/smstool/", "email": "/v3/emailtool/", "webhook": "/v4/webhook/"}

Api = Callable[..., httpx.Response]

CLOSING_SECONDS = 0.1


@pytest.fixture(scope="session")
def sandbox_process() -> Iterator[Sandbox]:
    with Sandbox() as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(sandbox_process: Sandbox) -> Sandbox:
    sandbox_process.reset(settings=True)
    return sandbox_process


def path_of(endpoint: str) -> str:
    tool, _, name = endpoint.partition("/")
    return PATHS[tool] + name


@pytest.fixture
def api(sandbox: Sandbox) -> Iterator[Api]:
    """`api("sms/addcontact", phone=...)`: a call as an API client makes it."""
    with httpx.Client(base_url=sandbox.url, headers=CREDENTIALS, timeout=120) as client:

        def call(endpoint: str, headers: dict[str, str] | None = None, **parameters: Any) -> httpx.Response:
            return client.post(path_of(endpoint), json=parameters, headers=headers)

        yield call


@dataclass(frozen=True)
class Received:
    """The bytes that a socket received, and how the connection was at the end (fin, rst or open)."""

    data: bytes
    ending: str

    @property
    def head(self) -> bytes:
        return self.data.partition(b"\r\n\r\n")[0].lower()

    @property
    def body(self) -> bytes:
        return self.data.partition(b"\r\n\r\n")[2]

    @property
    def content_length(self) -> int:
        return int(self.head.partition(b"content-length: ")[2].split(b"\r\n")[0])

    @property
    def complete(self) -> bool:
        """Whether the whole announced body is there."""
        return b"\r\n\r\n" in self.data and len(self.body) >= self.content_length


@pytest.fixture
def wire(sandbox: Sandbox) -> Callable[..., Received]:
    """`wire("sms/addgroup", {...}, patience=...)`: one call over a bare socket; it is read until ``answers`` answers or its end came."""

    def call(endpoint: str, parameters: dict[str, Any], patience: float = 20.0, answers: int = 1) -> Received:
        body = json.dumps(parameters).encode()
        headers = {**CREDENTIALS, "Host": "sandbox", "Content-Length": str(len(body))}
        head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        request = f"POST {path_of(endpoint)} HTTP/1.1\r\n{head}\r\n".encode() + body
        address = urlsplit(sandbox.url)
        with socket.create_connection((address.hostname, address.port), timeout=patience) as connection:
            connection.sendall(request)
            data = b""
            while True:
                try:
                    part = connection.recv(65536)
                except ConnectionResetError:
                    return Received(data, "rst")
                except TimeoutError:
                    return Received(data, "open")
                if not part:
                    return Received(data, "fin")
                data += part
                if (
                    len(data.split(b"HTTP/1.1 ")) > answers
                    and Received(data[data.rindex(b"HTTP/1.1 ") :], "").complete
                ):
                    # All answers are there. Wait a moment longer to see whether the server closes the connection.
                    connection.settimeout(CLOSING_SECONDS)

    return call
