"""The standard streams of a command: closed, full, and read by nobody; and arguments that are no text."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.harness import House

PRINTING = ["--help", "contract", "status --json", "dead list"]


def start(house: House, *arguments: str, **streams: Any) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "workers.cli", *arguments]
    return subprocess.Popen(command, env=house.environment(), **{"stderr": subprocess.PIPE, **streams})


@pytest.mark.parametrize("line", PRINTING)
def test_a_full_device_is_one_line_and_exit_1(house: House, line: str):
    with Path("/dev/full").open("wb") as full, start(house, *line.split(), stdout=full) as process:
        _, told = process.communicate(timeout=60)
    assert (process.returncode, told) == (1, b"standard output: No space left on device\n")


@pytest.mark.parametrize("line", PRINTING)
def test_a_pipe_that_nobody_reads_ends_a_command_quietly(house: House, line: str):
    reader, writer = os.pipe()
    os.close(reader)
    with start(house, *line.split(), stdout=writer) as process:
        os.close(writer)
        _, told = process.communicate(timeout=60)
    assert (process.returncode, told) == (141, b"")


def test_events_that_are_followed_end_with_their_reader(house: House):
    event = '{"id": "m", "type": "t", "time": "t", "data": {}}'
    with start(house, "events", "--follow", stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        house.redis.xadd("coupontools:events", {"type": "t", "event": event})
        assert process.stdout.readline()
        process.stdout.close()
        house.redis.xadd("coupontools:events", {"type": "t", "event": event})
        assert process.wait(timeout=60) == 141
        assert process.stderr.read() == b""


def test_ctrl_c_at_the_end_of_a_write_prints_no_line_twice():
    program = """
import io, sys
from workers.cli.output import say, say_json
from workers.cli.streams import prepare_streams

def interrupt(frame, event, function):
    if event == "c_return" and function.__name__ == "write" and isinstance(function.__self__, io.FileIO):
        sys.setprofile(None)
        raise KeyboardInterrupt

prepare_streams()
for show in (lambda: say("a line"), lambda: say_json({"a": 1})):
    sys.setprofile(interrupt)
    try:
        show()
    except KeyboardInterrupt:
        pass
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, check=False, text=True, timeout=60
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, 'a line\n{"a":1}\n', "")


def test_a_worker_without_standard_streams_works(house: House, tmp_path: Path):
    command = f"exec {sys.executable} -m workers.cli run <&- >&- 2>&-"
    with subprocess.Popen(["/bin/sh", "-c", command], env=house.environment(STATE_DIR=tmp_path)) as process:
        try:
            answer = house.answer(house.enqueue("list_groups", channel="sms"))
            assert answer["data"]["total"] == 0
        finally:
            process.terminate()
        assert process.wait(timeout=60) == 0


def test_text_that_the_terminal_cannot_show_ends_no_command(house: House):
    event = '{"id": "m", "type": "t", "time": "t", "data": {"name": "Crème ✓"}}'
    house.redis.xadd("coupontools:events", {"type": "t", "event": event})
    done = subprocess.run(
        [sys.executable, "-m", "workers.cli", "events"],
        env={**house.environment(), "PYTHONIOENCODING": "latin-1"},
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert "name Crème ?".encode("latin-1") in done.stdout


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([b"create_group", b"--channel", b"sms", b"--name", b"\xff"], b"--name"),
        ([b"list_groups", b"--channel", b"sms", b"--correlation-id", b"a\xff"], b"--correlation-id"),
        ([b"list_groups", b"--channel", b"sms", b"--deadline-seconds", b"9" * 30], b"--deadline-seconds"),
        ([b"list_groups", b"--channel", b"sms", b"--deadline-seconds", b"9" * 5000], b"--deadline-seconds"),
        ([b"verify_webhook", b"--payload", b"deep.json"], b"--payload"),
    ],
    ids=["name", "correlation-id", "large number", "very large number", "deep JSON"],
)
def test_what_no_message_can_hold_is_wrong_usage(
    house: House, tmp_path: Path, arguments: list[bytes], told: bytes
):
    (tmp_path / "deep.json").write_text('{"id": "evt_1", "x": ' + "[" * 400 + "]" * 400 + "}")
    command = [sys.executable, "-m", "workers.cli", "enqueue", *arguments]
    environment = {**house.environment(), "COLUMNS": "200", "PYTHONPATH": str(Path(__file__).parents[3])}
    done = subprocess.run(
        command, env=environment, cwd=tmp_path, capture_output=True, check=False, timeout=60
    )
    assert (done.returncode, done.stdout) == (2, b"")
    assert told in done.stderr
    assert b"Traceback" not in done.stderr
    assert house.redis.dbsize() == 0


def test_an_import_of_a_file_whose_name_is_no_text(house: House, tmp_path: Path):
    file = os.fsencode(tmp_path) + b"/\xff.csv"
    Path(os.fsdecode(file)).write_text("phone\n123\n")
    command = [sys.executable, "-m", "workers.cli", "import", file, "--channel", "sms", "--group-id", "gro_1"]
    for option in ([], ["--json"]):
        done = subprocess.run(
            [*command, *option], env=house.environment(), capture_output=True, check=False, timeout=60
        )
        assert done.returncode == 1
        assert (b"refused rows are in" if not option else b'"refused":1') in done.stdout
        assert b"Traceback" not in done.stderr
    wrong = [*command, "--correlation-id", b"\xff"]
    done = subprocess.run(wrong, env=house.environment(), capture_output=True, check=False, timeout=60)
    assert done.returncode == 2
    assert b"must be UTF-8 text" in done.stderr


@pytest.mark.parametrize("host", ["127.0.0.1", "no-such-host.invalid", "a" * 80 + ".invalid"])
@pytest.mark.parametrize("module", [["workers.cli", "sandbox"], ["sandbox"]])
def test_a_sandbox_that_cannot_listen_is_one_line_and_exit_1(house: House, module: list[str], host: str):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        command = [sys.executable, "-m", *module, "--host", host, "--port", str(port)]
        done = subprocess.run(command, capture_output=True, check=False, timeout=60, text=True)
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"cannot listen on {host}, port {port}: ")
    assert "while" not in line
