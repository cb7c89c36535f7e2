"""Every webhook answered with 200 is in Redis, also if Redis was away, frozen or full, or the receiver was killed."""

from __future__ import annotations

import asyncio
import signal
import socket
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from http.client import HTTPException

from structlog.testing import capture_logs

from config.keys import Keys
from tests.harness import House, wait_for
from tests.workers.receiver.conftest import TOKEN, Receiver, enqueued, webhook
from workers.producer import job_message
from workers.receiver.intake import Intake


def check_unavailable(receiver: Receiver) -> None:
    """Check that a webhook is answered with 503 and Retry-After, while the process stays healthy."""
    status, headers, told = receiver.post(webhook())
    assert (status, headers["retry-after"]) == (503, "5")
    assert told == {"error": "Redis is away or full; send the webhook again"}
    assert receiver.ask("GET", "/health", seconds=60)[0] == 200


def test_redis_may_go_and_come_back(fragile_house: House, start: Callable[..., Receiver]):
    with start(fragile_house) as receiver:
        assert receiver.post(webhook())[0] == 200
        for _ in range(2):
            fragile_house.server.kill()
            check_unavailable(receiver)
            check_unavailable(receiver)
            fragile_house.server.start()
            assert receiver.post(webhook())[0] == 200
        assert len(enqueued(fragile_house)) == 3
        for event in ("redis.unavailable", "redis.recovered"):
            assert len(receiver.wait_lines(event, 2)) == 2


def test_it_starts_without_redis(fragile_house: House, start: Callable[..., Receiver]):
    fragile_house.server.kill()
    with start(fragile_house) as receiver:
        check_unavailable(receiver)
        fragile_house.server.start()
        assert receiver.post(webhook())[0] == 200


def test_a_frozen_redis_holds_up_nobody_for_long(fragile_house: House, start: Callable[..., Receiver]):
    with start(fragile_house) as receiver, ThreadPoolExecutor(40) as senders:
        assert receiver.post(webhook())[0] == 200
        process = fragile_house.server.process
        assert process is not None
        process.send_signal(signal.SIGSTOP)
        try:
            told = [senders.submit(receiver.post, webhook(number), seconds=60) for number in range(40)]
            assert receiver.ask("GET", "/health", seconds=60)[0] == 200
            assert {future.result()[0] for future in told} == {503}
        finally:
            process.send_signal(signal.SIGCONT)
        assert receiver.post(webhook(), seconds=60)[0] == 200


def test_when_the_time_to_drain_is_over_all_are_told(fragile_house: House, start: Callable[..., Receiver]):
    body = webhook()
    request = (
        f"POST /webhooks/{TOKEN} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
    )
    with start(fragile_house, SHUTDOWN_SECONDS="1") as receiver, ExitStack() as stack:
        assert receiver.post(webhook())[0] == 200
        process = fragile_house.server.process
        assert process is not None
        process.send_signal(signal.SIGSTOP)
        stack.callback(process.send_signal, signal.SIGCONT)
        whole, half = (
            stack.enter_context(socket.create_connection(("127.0.0.1", receiver.port), timeout=40))
            for _ in range(2)
        )
        whole.sendall(request)
        half.sendall(request[:-5])
        # Requests begin in their order: when this one is answered, the others have begun.
        assert receiver.status("GET", "/health") == 200

        def is_over() -> bool:
            # Repeated signals must not disturb the shutdown.
            receiver.process.send_signal(signal.SIGTERM)
            return receiver.process.poll() is not None

        wait_for(is_over, seconds=60, what="the receiver's end")
        assert receiver.process.returncode == 0
        with whole.makefile("rb") as answer:
            assert answer.read().startswith(b"HTTP/1.1 503 ")
        assert half.recv(4096) == b""
        assert all("exception" not in line for line in receiver.log_lines())


def test_a_full_redis_takes_nothing_and_then_again(fragile_house: House, start: Callable[..., Receiver]):
    with start(fragile_house) as receiver:
        assert receiver.post(webhook())[0] == 200
        fragile_house.redis.config_set("maxmemory", "1")
        check_unavailable(receiver)
        fragile_house.redis.config_set("maxmemory", "0")
        assert receiver.post(webhook())[0] == 200
        assert len(enqueued(fragile_house)) == 2


def test_what_was_told_200_outlives_redis_and_the_receiver(
    fragile_house: House, start: Callable[..., Receiver], closed_port: int
):
    accepted: list[str] = []
    over = threading.Event()

    def send(receiver: Receiver, first: int) -> None:
        number = first
        while not over.is_set():
            number += 1
            try:
                status, _, told = receiver.post(webhook(number))
            except (OSError, HTTPException):
                # The receiver was killed in the middle of its answer.
                continue
            assert status in {200, 503}
            if status == 200:
                accepted.append(told["message_id"])

    def more_are_accepted() -> None:
        before = len(accepted)
        wait_for(lambda: len(accepted) > before + 20, what="webhooks accepted")

    with start(fragile_house, closed_port) as receiver, ThreadPoolExecutor(4) as senders:
        sending = [senders.submit(send, receiver, sender * 1_000_000) for sender in range(4)]
        try:
            more_are_accepted()
            fragile_house.server.kill()
            check_unavailable(receiver)
            fragile_house.server.start()
            more_are_accepted()
            receiver.process.kill()
            receiver.process.wait(timeout=120)
            with start(fragile_house, closed_port) as second:
                more_are_accepted()
                second.process.terminate()
                assert second.process.wait(timeout=120) == 0
        finally:
            over.set()
        for each in sending:
            each.result()
    assert len(set(accepted)) == len(accepted)
    assert set(accepted) <= set(enqueued(fragile_house))


async def test_a_message_whose_sender_has_gone_is_not_logged_as_accepted(house: House) -> None:
    """The log said that webhooks were accepted, and named none."""
    intake = Intake(house.redis, Keys())
    with capture_logs() as logs:
        gone = asyncio.create_task(intake.put(job_message("verify_webhook", {"payload": {}})))
        # It waits for its step, which has not begun.
        await asyncio.sleep(0)
        gone.cancel()
        await asyncio.gather(gone, return_exceptions=True)
        stays = job_message("verify_webhook", {"payload": {}})
        await intake.put(stays)
    assert [line["message_ids"] for line in logs] == [[stays.message_id]]
    assert len(enqueued(house)) == 1
