"""The example of docs/webhooks.md is a web application: it is served, posted to, and its events are awaited."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

from tests.harness import House, wait_for
from workers.embedded import free_port

TEXT = (Path(__file__).parents[1] / "docs/webhooks.md").read_text(encoding="utf-8")


def post(url: str, body: bytes) -> int:
    """The status of a POST."""
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data=body), timeout=10) as answer:  # noqa: S310
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code
    except OSError:
        return 0


def test_the_example_hands_webhooks_over(house: House, tmp_path: Path) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    (tmp_path / "example.py").write_text(example, encoding="utf-8")
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", "example:app", "--port", str(port), "--log-level", "error"]
    url = f"http://127.0.0.1:{port}/webhooks/coupontools"
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
        server.wait(timeout=10)
