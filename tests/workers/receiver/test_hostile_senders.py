"""While a thousand senders send half a request, or too much, others are served and the receiver's memory stays bounded."""

from __future__ import annotations

import resource
import selectors
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress

import pytest

from tests.harness import House, wait_for
from tests.workers.receiver.conftest import TOKEN, Receiver, enqueued, webhook

SENDERS = 1000
#: How much more memory the receiver may need for all of them than for one, in bytes.
GROWTH = 64 * 1024 * 1024
HEAD = f"POST /webhooks/{TOKEN} HTTP/1.1\r\nHost: x\r\n"


@pytest.fixture(autouse=True)
def _for_real(house: House) -> None:
    """The receiver's memory is measured, so it must not start with the nursery's."""
    house.for_real()


@pytest.fixture(autouse=True)
def _enough_files() -> Iterator[None]:
    """Let this process open a connection for each sender."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(before[0], min(before[1], 4 * SENDERS)), before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def is_closed(sender: socket.socket) -> bool:
    """Return whether the receiver closed this connection."""
    with selectors.DefaultSelector() as selector:
        selector.register(sender, selectors.EVENT_READ)
        if not selector.select(0):
            return False
    try:
        return not sender.recv(4096)
    except ConnectionError:
        return True


def all_are_closed(senders: list[socket.socket]) -> bool:
    """Remove the closed ones from ``senders``, and let one of the others send a byte. Return whether none is left."""
    senders[:] = [sender for sender in senders if not is_closed(sender)]
    if senders:
        # A byte now and then must not keep the connection open.
        with suppress(ConnectionError):
            senders[-1].send(b"x")
    return not senders


@pytest.mark.parametrize("size", [pytest.param(10, marks=pytest.mark.story), 200_000])
def test_slow_senders_stop_nobody_and_are_closed(house: House, receiver: Receiver, size: int):
    assert receiver.post(webhook())[0] == 200
    before = receiver.memory()
    head = f"{HEAD}Content-Length: {size + 5000}\r\n\r\n".encode()
    with ExitStack() as stack:
        senders: list[socket.socket] = []
        for number in range(SENDERS):
            sender = stack.enter_context(socket.create_connection(("127.0.0.1", receiver.port), timeout=120))
            with suppress(ConnectionError):
                sender.sendall(head + b"x" * size)
            senders.append(sender)
            if number % 50 == 0:
                assert receiver.post(webhook(number), seconds=25)[0] == 200
        began = time.monotonic()
        assert receiver.ask("GET", "/health", seconds=25)[0] == 200
        if size == 10:
            late = [sender for sender in senders if not is_closed(sender)]
            assert len(late) > 400
            wait_for(lambda: all_are_closed(late), seconds=45, what="the end of all late requests")
            assert time.monotonic() - began > 20
            assert receiver.wait_lines("requests.closed")
    assert receiver.post(webhook())[0] == 200
    assert receiver.memory() - before < GROWTH
    assert len(enqueued(house)) == 22


@pytest.mark.story
def test_oversized_senders_stop_nobody(house: House, receiver: Receiver):
    assert receiver.post(webhook())[0] == 200
    before = receiver.memory()
    chunk = b"40000\r\n" + b"x" * 0x40000 + b"\r\n"
    bodies = [
        (f"{HEAD}Content-Length: 600000\r\n\r\n".encode(), b"x" * 600_000),
        (f"{HEAD}Transfer-Encoding: chunked\r\n\r\n".encode(), chunk * 2 + b"0\r\n\r\n"),
    ]
    statuses: list[bytes] = []

    def send(number: int) -> None:
        head, body = bodies[number % 2]
        answer = b""
        with (
            socket.create_connection(("127.0.0.1", receiver.port), timeout=120) as sender,
            suppress(ConnectionError),
        ):
            with suppress(ConnectionError):
                sender.sendall(head + body)
            answer = sender.recv(4096)
        statuses.append(answer[:13])

    over = threading.Event()
    told: list[int] = []

    def others() -> None:
        while not over.is_set():
            told.append(receiver.post(webhook(len(told)), seconds=25)[0])

    with ThreadPoolExecutor(101) as senders:
        other = senders.submit(others)
        try:
            list(senders.map(send, range(SENDERS)))
        finally:
            over.set()
        other.result()
    assert set(statuses) <= {b"HTTP/1.1 413 ", b""}
    assert statuses.count(b"HTTP/1.1 413 ") > SENDERS * 0.9
    assert len(told) > 10
    assert set(told) == {200}
    assert receiver.memory() - before < GROWTH
    assert len(enqueued(house)) == len(told) + 1


@pytest.mark.story
def test_a_sender_that_never_reads_its_answers_loses_its_place(receiver: Receiver):
    many = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n" * 1000
    with socket.socket() as sender:
        # Set this before connecting: if the window shrinks later, the kernel drops what came, and both sides wait for minutes.
        sender.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sender.settimeout(240)
        sender.connect(("127.0.0.1", receiver.port))
        with pytest.raises(ConnectionError):
            send_for_ever(sender, many)
    assert receiver.ask("GET", "/health", seconds=25)[0] == 200


def send_for_ever(sender: socket.socket, data: bytes) -> None:
    """Send until the connection is closed, or until nothing was read for the socket's time-out."""
    while True:
        sender.sendall(data)
