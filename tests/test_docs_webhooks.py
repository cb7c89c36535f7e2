"""docs/webhooks.md: its web application enqueues webhooks, and its reader reads the events about webhooks that the receiver took."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from tests.harness import House, wait_for

TEXT = (Path(__file__).parents[1] / "docs/webhooks.md").read_text(encoding="utf-8")


def post(url: str, body: bytes) -> int:
    """Return the status of a POST, 0 if nobody answers."""
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data=body), timeout=60) as answer:  # noqa: S310
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code
    except OSError:
        return 0


def test_the_example_hands_webhooks_over(house: House, tmp_path: Path, closed_port: int) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", TEXT.partition("## In an application")[2], re.DOTALL)
    (tmp_path / "example.py").write_text(example, encoding="utf-8")
    command = [
        sys.executable,
        "-m",
        "uvicorn",
        "example:app",
        "--port",
        str(closed_port),
        "--log-level",
        "error",
    ]
    url = f"http://127.0.0.1:{closed_port}/webhooks/coupontools"
    server = subprocess.Popen(command, cwd=tmp_path, env={**os.environ, "REDIS_URL": house.server.url})
    try:
        wait_for(lambda: post(url, b"no JSON") == 400, what="the example's start")
        house.worker()
        genuine = house.sandbox.issue_webhook("coupon_validated")
        forged = {**genuine, "campaign": "cam_0"}
        assert post(url, json.dumps(genuine).encode()) == 200
        assert post(url, json.dumps(forged).encode()) == 200
        assert post(url, b"[]") == 400
        wait_for(lambda: len(house.events()) == 2, show=house.log_tail)
        assert house.tally() == {"webhook.verified": 1, "webhook.rejected": 1}
        assert {event["subject"] for event in house.events()} == {genuine["id"]}
    finally:
        server.terminate()
        server.wait(timeout=120)


@pytest.mark.story
def test_the_ten_minutes_end_with_the_event(house: House, closed_port: int) -> None:
    token = "a-token-that-is-hard-to-guess"
    (reader,) = re.findall(r"<!-- runnable -->\n```python\n(.*?)```", TEXT, re.DOTALL)
    environment = house.environment(RECEIVER_TOKEN=token, RECEIVER_PORT=closed_port)
    url = f"http://127.0.0.1:{closed_port}/webhooks/{token}"
    receiver = subprocess.Popen([sys.executable, "-m", "workers.cli", "receive"], env=environment)
    try:
        wait_for(lambda: post(url, b"no JSON") == 400, what="the receiver's start")
        house.worker()
        genuine = house.sandbox.issue_webhook("coupon_validated")
        assert post(url, json.dumps(genuine).encode()) == 200
        assert post(url, b'{"id": "evt_01234567890123456789"}') == 200
        wait_for(lambda: len(house.events()) == 2, show=house.log_tail)
    finally:
        receiver.terminate()
        assert receiver.wait(timeout=120) == 0
    done = subprocess.run(
        [sys.executable, "-c", reader],
        check=False,
        env=environment,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    assert f"act on {genuine['id']} coupon_validated" in done.stdout
    assert "forged evt_01234567890123456789 not_found" in done.stdout
