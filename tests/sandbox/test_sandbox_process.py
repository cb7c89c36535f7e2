"""The sandbox as a process: its start, its port, its end, and the end of its parent."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any

import httpx
import pytest

from sandbox import Sandbox, SandboxConfig, SandboxStartError, create_app, serve

CREDENTIALS = {"X-Client-Id": "sandbox-id", "X-Client-Secret": "sandbox-secret"}
DEADLINE = 120.0


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.01)


def refuses(port: int) -> bool:
    with closing(socket.socket()) as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def test_it_listens_on_loopback_on_a_free_port_and_is_gone_afterwards() -> None:
    config = SandboxConfig(client_id="me", client_secret="mine", latency_ms=1)
    with Sandbox(config) as sandbox, Sandbox() as other:
        assert sandbox.url == f"http://127.0.0.1:{sandbox.port}"
        assert sandbox.port != other.port
        headers = {"X-Client-Id": "me", "X-Client-Secret": "mine"}
        assert httpx.post(f"{sandbox.url}/v3/smstool/grouplist", headers=headers).status_code == 200
        assert httpx.post(f"{other.url}/v3/smstool/grouplist", headers=headers).status_code == 401
        pid, port = sandbox.pid, sandbox.port
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert refuses(port)


def test_a_port_in_use_is_a_start_that_failed(capfd: pytest.CaptureFixture[str]) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SandboxStartError, match="exit code 1"), Sandbox(port=port):
            pytest.fail("it started on a port in use")
    assert f"cannot listen on 127.0.0.1, port {port}: " in capfd.readouterr().err


def test_a_wrong_setting_ends_it_with_a_sentence() -> None:
    command = [sys.executable, "-m", "sandbox", "--settings", '{"latency_ms": "x"}']
    ended = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE, check=False)
    assert ended.returncode == 2
    assert "--settings: latency_ms: " in ended.stderr
    assert "Traceback" not in ended.stderr


@contextmanager
def running(*options: str) -> Iterator[tuple[subprocess.Popen[bytes], dict[str, Any]]]:
    """Start a sandbox process; yield it, and the line that it prints when it begins to listen."""
    command = [sys.executable, "-W", "error", "-m", "sandbox", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            yield process, json.loads(process.stdout.readline())
        finally:
            process.kill()


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "hang_before"},
        {"kind": "hang_after"},
        {"kind": "slow", "seconds": 600},
        {"kind": "trickle", "interval_seconds": 600},
    ],
)
def test_sigterm_stops_it_at_once_with_a_call_hanging(fault: dict[str, Any]) -> None:
    with running() as (process, line), httpx.Client(base_url=line["url"]) as control:
        control.post("/_sandbox/faults", json=fault)
        with socket.create_connection(("127.0.0.1", line["port"]), DEADLINE) as hanging:
            headers = "".join(f"{name}: {value}\r\n" for name, value in {**CREDENTIALS, "Host": "x"}.items())
            hanging.sendall(f"POST /v3/smstool/grouplist HTTP/1.1\r\n{headers}\r\n".encode())
            wait_until(lambda: control.get("/_sandbox/stats").json()["total"]["calls"] == 1)
            process.terminate()
            assert process.wait(DEADLINE) == 0
        assert process.stderr is not None
        assert process.stderr.read() == b""
        assert refuses(line["port"])


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_serving_with_exit_code_0_and_no_noise(stop: signal.Signals) -> None:
    with running() as (process, line):
        url = f"http://127.0.0.1:{line['port']}"
        assert line == {"event": "listening", "host": "127.0.0.1", "port": line["port"], "url": url}
        assert httpx.post(f"{url}/v3/smstool/grouplist", headers=CREDENTIALS).status_code == 200
        process.send_signal(stop)
        assert process.wait(DEADLINE) == 0
        assert process.stdout is not None
        assert process.stderr is not None
        assert (process.stdout.read(), process.stderr.read()) == (b"", b"")


PARENT = """
import sys
from sandbox import Sandbox
with Sandbox() as sandbox:
    print(sandbox.port, flush=True)
    sys.stdin.read()
"""


def test_it_ends_when_its_parent_is_killed() -> None:
    command = [sys.executable, "-c", PARENT]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        port = int(parent.stdout.readline())
        assert not refuses(port)
        parent.kill()
        parent.wait(DEADLINE)
        wait_until(lambda: refuses(port))


def test_the_port_is_known_before_the_first_call_is_served() -> None:
    listening: list[int] = []

    def stop_when_served(_host: str, port: int) -> None:
        def call() -> None:
            try:
                httpx.post(f"http://127.0.0.1:{port}/v3/smstool/grouplist", timeout=DEADLINE)
                listening.append(port)
            finally:
                os.kill(os.getpid(), signal.SIGTERM)

        threading.Thread(target=call).start()

    handlers = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    serve(on_listening=stop_when_served)
    assert len(listening) == 1
    assert refuses(listening[0])
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == handlers


async def test_the_application_runs_without_a_server_but_for_connection_faults() -> None:
    app = create_app(SandboxConfig())
    transport = httpx.ASGITransport(app=app)
    async with (
        httpx.AsyncClient(transport=transport, base_url="http://sandbox", headers=CREDENTIALS) as client,
        asyncio.timeout(DEADLINE),
    ):
        assert (await client.post("/v3/emailtool/grouplist", json={})).json()["amount_of_groups"] == 0
        await client.post("/_sandbox/faults", json={"kind": "reset"})
        with pytest.raises(RuntimeError, match=r"need sandbox\.serve"):
            await client.post("/v3/emailtool/grouplist", json={})
