"""What the receiver takes, what it answers, and what it logs."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from tests.harness import House, wait_for
from tests.workers.receiver.conftest import TOKEN, Receiver, enqueued, webhook

PATH = f"/webhooks/{TOKEN}"
LARGEST = 256 * 1024


def padded(size: int) -> bytes:
    """Return a webhook of this many bytes."""
    body = webhook(text="")
    return webhook(text="x" * (size - len(body)))


def test_a_webhook_becomes_the_job_that_verifies_it(house: House, receiver: Receiver):
    house.worker()
    genuine = house.sandbox.issue_webhook("coupon_validated")
    ids = []
    for body in (genuine, {**genuine, "campaign": "cam_0"}):
        status, headers, told = receiver.post(json.dumps(body))
        assert (status, headers["content-type"]) == (200, "application/json")
        ids.append(told["message_id"])
    kinds = [house.answer(message_id)["type"] for message_id in ids]
    assert kinds == ["coupontools.webhook.verified", "coupontools.webhook.rejected"]
    assert [line["message_ids"] for line in receiver.wait_lines("webhooks.accepted", 2)] == [
        [message_id] for message_id in ids
    ]


def test_the_payload_is_the_body_as_received(house: House, receiver: Receiver):
    body = '{"id" : "evt_1", "amount": 1.10, "text": "\\u00e9é", "big": 12345678901234567890,\n "none": null}'
    status, _, told = receiver.post(body.encode())
    assert status == 200
    (raw,) = house.redis.hvals("dramatiq:webhooks.msgs")
    assert body in raw.decode()
    message = enqueued(house)[told["message_id"]]
    assert message["kwargs"] == {"payload": json.loads(body)}
    assert (message["queue_name"], message["actor_name"]) == ("webhooks", "verify_webhook")


WRONG_BODIES = [
    b"",
    b"{",
    b"[]",
    b"null",
    b'"evt_1"',
    b"{}",
    b'{"id": null}',
    b'{"id": 922}',
    b'{"id": ""}',
    b'{"id": "' + b"e" * 101 + b'"}',
    b'{"id": "evt_1", "text": "\xff"}',
    b'{"id": "evt_1", "number": NaN}',
    b'{"id": "evt_1", "deep": ' + b"[" * 64 + b"]" * 64 + b"}",
    b'{"id": "evt_1", "deep": ' + b"[" * 5000 + b"]" * 5000 + b"}",
    b'{"id": "evt_1", "half": "\\ud800"}',
    b'{"id": "evt_1"} {"id": "evt_2"}',
    b'{"id": "evt_1", "number": 123456789012345678901234567890}',
]


def test_what_the_worker_would_not_carry_out_is_400(house: House, receiver: Receiver):
    for body in WRONG_BODIES:
        status, _, told = receiver.post(body)
        assert status == 400, body[:80]
        assert told["error"]
    assert enqueued(house) == {}


def test_an_id_has_at_most_100_characters(house: House, receiver: Receiver):
    assert receiver.post(b'{"id": "' + b"e" * 100 + b'"}')[0] == 200
    assert receiver.post(b'{"id": "922"}')[0] == 200
    assert len(enqueued(house)) == 2


REQUESTS = [
    ("GET", "/health", 200),
    ("HEAD", "/health", 200),
    ("POST", "/health", 405),
    ("GET", PATH, 405),
    ("HEAD", PATH, 405),
    ("PUT", PATH, 405),
    ("OPTIONS", PATH, 405),
    ("POST", f"{PATH}?from=vendor", 200),
    # With an absolute URL, as a proxy is asked.
    ("POST", f"http://hooks.example.com:8080{PATH}", 200),
    ("POST", f"HTTPS://hooks.example.com{PATH}?from=vendor", 200),
    ("GET", "http://hooks.example.com/health", 200),
    ("POST", f"http://hooks.example.com{PATH}x", 404),
    ("POST", "http://hooks.example.com", 404),
    ("POST", f"ftp://hooks.example.com{PATH}", 404),
    ("POST", f"{PATH}/", 404),
    ("POST", f"{PATH}x", 404),
    ("POST", PATH[:-1], 404),
    ("POST", f"{PATH}%0A", 404),
    ("POST", f"{PATH}%FF", 404),
    ("POST", PATH.upper(), 404),
    ("GET", "/webhooks/another-token-of-somebody", 404),
    ("POST", "/webhooks/", 404),
    ("POST", "/webhooks", 404),
    ("POST", "/", 404),
    ("GET", "/metrics", 404),
    ("POST", f"/webhook/{TOKEN}", 404),
]


def test_other_paths_and_methods(receiver: Receiver):
    for method, path, status in REQUESTS:
        told, headers, _ = receiver.ask(method, path, webhook() if method in {"POST", "PUT"} else None)
        assert told == status, (method, path)
        if status == 405:
            assert headers["allow"] == ("GET, HEAD" if path == "/health" else "POST")


def test_a_body_has_at_most_256_kib(house: House, receiver: Receiver):
    for size, status in ((LARGEST, 200), (LARGEST + 1, 413), (4 * LARGEST, 413)):
        assert receiver.post(padded(size))[0] == status
        pieces = iter([padded(size)])
        assert (
            receiver.post(pieces, encode_chunked=True, headers={"Transfer-Encoding": "chunked"})[0] == status
        )
    assert len(enqueued(house)) == 2


def test_an_oversized_body_is_not_read_on(receiver: Receiver):
    head = f"POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n\r\n"
    with socket.create_connection(("127.0.0.1", receiver.port), timeout=120) as sender:
        sender.sendall(head.encode())
        # The answer comes before a byte of the body was sent.
        assert sender.recv(4096).startswith(b"HTTP/1.1 413 ")
    head = f"POST {PATH} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    sent = 0
    with (
        socket.create_connection(("127.0.0.1", receiver.port), timeout=120) as sender,
        suppress(ConnectionError),
    ):
        sender.sendall(head.encode())
        while sent < 200_000_000:
            sender.sendall(b"10000\r\n" + b"x" * 65536 + b"\r\n")
            sent += 65536
    # Most of what was sent is in the kernel's buffers, unread by the receiver.
    assert sent < 20_000_000


def test_no_token_is_logged(receiver: Receiver):
    wrong = "somebody-tried-this-token"
    for path in (
        PATH,
        f"/webhooks/{wrong}",
        f"/webhook/{TOKEN}",
        f"/{wrong}",
        f"/{wrong}?t={TOKEN}",
        f"http://{wrong}/webhooks/{wrong}",
        PATH[:-1],
    ):
        for method in ("POST", "GET"):
            receiver.status(method, path, b"{" if method == "POST" else None)
    with socket.create_connection(("127.0.0.1", receiver.port), timeout=120) as sender:
        sender.sendall(f"POST /webhooks/{wrong} HTTP/1.1\r\nbroken {TOKEN}\r\n\r\n".encode())
        assert sender.recv(4096).startswith(b"HTTP/1.1 400 ")
    wait_for(lambda: "Invalid HTTP request" in receiver.log_text)
    refused = receiver.wait_lines("request.refused", 14)
    assert {line["path"] for line in refused} == {"/webhooks/•••", "•••"}
    assert len(refused) == 14
    assert wrong not in receiver.log_text
    assert TOKEN[:-1] not in receiver.log_text
    for line in receiver.log_lines():
        assert {"timestamp", "level", "event", "logger"} <= set(line)


def test_sigterm_answers_what_has_begun_and_exits_with_0(house: House, start: Callable[..., Receiver]):
    body = webhook()
    head = f"POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    # Longer than a busy machine needs until the rest is sent; the receiver ends as soon as all is answered.
    with start(SHUTDOWN_SECONDS=240) as receiver:
        with socket.create_connection(("127.0.0.1", receiver.port), timeout=120) as sender:
            sender.sendall(head + body[:10])
            # Requests begin in their order: when this one is answered, the other has begun.
            assert receiver.status("GET", "/health") == 200
            receiver.process.send_signal(signal.SIGTERM)
            wait_for(lambda: receiver.log_lines("receiver.stopping"))
            wait_for(lambda: receiver.status("GET", "/health") == 0)
            sender.sendall(body[10:])
            assert sender.recv(4096).startswith(b"HTTP/1.1 200 ")
        assert receiver.process.wait(timeout=120) == 0
        assert len(enqueued(house)) == 1
        assert receiver.log_lines()[-1]["event"] == "receiver.stopped"


@pytest.mark.parametrize("half_closed", [False, True])
def test_a_sender_that_leaves_early_loses_nothing(house: House, receiver: Receiver, half_closed: bool):
    body = webhook()
    head = f"POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    with socket.create_connection(("127.0.0.1", receiver.port), timeout=120) as sender:
        sender.sendall(head + body)
        if half_closed:
            sender.shutdown(socket.SHUT_WR)
            with sender.makefile("rb") as answer:
                assert answer.read().startswith(b"HTTP/1.1 200 ")
    wait_for(lambda: len(enqueued(house)) == 1)


def test_half_a_body_is_no_webhook(house: House, receiver: Receiver):
    head = f"POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n".encode()
    with socket.create_connection(("127.0.0.1", receiver.port), timeout=120) as sender:
        sender.sendall(head + webhook())
        sender.shutdown(socket.SHUT_WR)
        assert sender.recv(4096) == b""
    assert enqueued(house) == {}


@pytest.mark.parametrize(
    ("token", "says"),
    [
        ("", "RECEIVER_TOKEN: is required; set it in the environment, in .env or as a file in SECRETS_DIR"),
        ("fifteen-letters", "RECEIVER_TOKEN: must be at least 16 printable ASCII characters without spaces, hard to guess"),
        ("sixteen letters!", "RECEIVER_TOKEN: must be at least 16 printable ASCII characters without spaces, hard to guess"),
    ],
)  # fmt: skip
def test_without_a_good_token_it_does_not_start(house: House, token: str, says: str):
    done = house.run_process("receive", RECEIVER_TOKEN=token)
    assert (done.returncode, done.stderr) == (2, f"{says}\n")


def test_it_refuses_an_env_file_that_anybody_may_write(house: House, tmp_path: Path, monkeypatch):
    root = str(Path(__file__).parents[3])
    monkeypatch.setenv("PYTHONPATH", root)
    monkeypatch.chdir(tmp_path)
    file = tmp_path / ".env"
    file.write_text(f"RECEIVER_TOKEN={TOKEN}\n")
    file.chmod(file.stat().st_mode | stat.S_IWOTH)
    done = house.run_process("receive")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == ".env: must not be writable by everybody; run chmod o-w .env\n"


def test_a_port_that_is_taken_is_one_line(house: House, receiver: Receiver):
    done = house.run_process("receive", RECEIVER_TOKEN=TOKEN, RECEIVER_PORT=receiver.port)
    assert done.returncode == 1
    assert done.stderr == f"cannot listen on 127.0.0.1, port {receiver.port}: Address already in use\n"


def test_it_needs_no_credentials_and_reads_its_token_from_a_file(
    start: Callable[..., Receiver], house: House, tmp_path: Path
):
    (tmp_path / "RECEIVER_TOKEN").write_text("another/token+of=base64")
    settings = {"COUPONTOOLS_CLIENT_ID": "", "COUPONTOOLS_CLIENT_SECRET": "", "SECRETS_DIR": tmp_path}
    environment = house.environment(**settings, PATH=os.environ["PATH"])
    with Receiver(environment) as receiver:
        assert receiver.ask("POST", "/webhooks/another/token+of=base64", webhook())[0] == 200
        assert receiver.ask("POST", "/webhooks/another%2Ftoken%2Bof%3Dbase64", webhook())[0] == 200
        assert "base64" not in receiver.log_text


def test_under_key_names_that_are_not_the_workers_it_says_so_and_serves(
    house: House, start: Callable[..., Receiver]
):
    """The webhooks wait in a queue that no worker takes, which the log must say. Refusing them would lose them for good."""
    house.worker()
    with start(BROKER_NAMESPACE="other") as receiver:
        assert receiver.post(webhook())[0] == 200
        assert "BROKER_NAMESPACE: workers run under dramatiq" in receiver.log_text
