"""An API that answers every call after LATENCY_MS, and costs next to nothing: nginx with its echo module, else a bare loop."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from urllib.request import urlopen

from tests.harness import wait_for
from workers.embedded import free_port

__all__ = ["Api", "api"]

LATENCY_MS = 100
BODY = '{"status":{"status":"OK"},"contact_id":"con_12345678"}'
ANSWER = (
    f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(BODY)}\r\n\r\n{BODY}".encode()
)
REQUEST = b"POST /v4/x HTTP/1.1\r\nHost: api\r\nContent-Length: 2\r\n\r\n{}"
#: Where distributions put nginx's modules.
MODULES = ("/usr/lib/nginx/modules", "/usr/lib64/nginx/modules", "/usr/local/lib/nginx/modules")
NGINX = """
{load}
daemon off;
worker_processes 1;
pid {folder}/pid;
error_log {folder}/error.log;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    keepalive_requests 1000000;
    client_body_temp_path {folder}/body;
    server {{
        listen 127.0.0.1:{port} backlog=2048;
        location = /count {{ stub_status; }}
        location / {{
            default_type application/json;
            echo_read_request_body;
            echo_sleep {latency};
            echo -n '{body}';
        }}
    }}
}}
"""


class Api:
    """A running stand-in."""

    def __init__(self, name: str, port: int) -> None:
        self.name = name
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self._asked = 0

    def calls(self) -> int:
        """Return how many calls it has had, without the requests for this number."""
        self._asked += 1
        with urlopen(f"{self.url}/count", timeout=60) as answer:  # noqa: S310 - our own server
            return int(answer.read().split(b"requests", 1)[-1].split()[2]) - self._asked

    def sustains(self, connections: int = 1024, seconds: float = 3.0) -> float:
        """Return how many calls a second it answers to clients that do nothing else."""
        return asyncio.run(_load(self.port, connections, seconds))


async def _load(port: int, connections: int, seconds: float) -> float:
    answered = 0
    ends = time.monotonic() + seconds

    async def ask() -> None:
        nonlocal answered
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while time.monotonic() < ends:
            writer.write(REQUEST)
            await reader.readuntil(BODY[-12:].encode())
            answered += 1
        writer.close()

    began = time.monotonic()
    await asyncio.gather(*(ask() for _ in range(connections)))
    return answered / (time.monotonic() - began)


@contextmanager
def api() -> Iterator[Api]:
    """Run a stand-in."""
    port = free_port()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="api-")))
        echo = next((path for path in MODULES if Path(path, "ngx_http_echo_module.so").exists()), None)
        if shutil.which("nginx") and echo:
            name, command = "nginx", _nginx(folder, port, echo)
        else:
            name, command = (
                "a bare loop in Python",
                [sys.executable, "-m", "benchmarks.rivals.api", str(port)],
            )
        process = subprocess.Popen(command)
        stack.callback(_end, process)
        running = Api(name, port)
        wait_for(lambda: _answers(running), what="the stand-in")
        yield running


def _nginx(folder: Path, port: int, echo: str) -> list[str]:
    settings = folder / "nginx.conf"
    settings.write_text(
        NGINX.format(
            load=f"load_module {echo}/ngx_http_echo_module.so;",
            folder=folder,
            port=port,
            latency=LATENCY_MS / 1000,
            body=BODY,
        ),
        encoding="utf-8",
    )
    return ["nginx", "-c", str(settings), "-p", str(folder), "-e", str(folder / "error.log")]


def _answers(running: Api) -> bool:
    with suppress(OSError):
        running.calls()
        return True
    running._asked = 0  # noqa: SLF001 - the stand-in did not get that request
    return False


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    process.wait(timeout=60)


class _Bare(asyncio.Protocol):
    """As much of HTTP as the clients here need."""

    count = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: asyncio.WriteTransport = transport  # type: ignore[assignment]
        self._text = b""

    def data_received(self, data: bytes) -> None:
        self._text += data
        while (end := self._text.find(b"\r\n\r\n")) >= 0:
            head, _, length = self._text[:end].lower().partition(b"content-length:")
            whole = end + 4 + int(length.split(b"\r", 1)[0] or 0)
            if len(self._text) < whole:
                return
            self._text = self._text[whole:]
            _Bare.count += 1
            if head.startswith(b"get /count"):
                told = b"requests 0 0 %d" % _Bare.count
                self._transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(told), told))
            else:
                asyncio.get_running_loop().call_later(LATENCY_MS / 1000, self._answer)

    def _answer(self) -> None:
        if not self._transport.is_closing():
            self._transport.write(ANSWER)


async def _serve(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(_Bare, "127.0.0.1", port, backlog=2048)
    await server.serve_forever()


if __name__ == "__main__":
    import uvloop

    uvloop.run(_serve(int(sys.argv[1])))
