"""The standard streams of a command: closed, full, and read by nobody; and arguments that are no text."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import IO, Any

import pytest

from sandbox.__main__ import main as python_m_sandbox
from tests.harness import House
from tests.harness.commands import Done

PRINTING = ["--help", "contract", "status --json", "dead list"]
#: This one is started as a user does: how Python itself ends is a part of it.
FOR_REAL = "status --json"


def end_of(house: House, line: str, stdout: IO[bytes]) -> tuple[int, str]:
    """The exit code of a command that prints into ``stdout``, and what it says of its errors."""
    if line == FOR_REAL or house.nursery is None:
        with start(house, *line.split(), stdout=stdout) as process:
            # A pipe has no reader but the test's own.
            stdout.close()
            _, told = process.communicate(timeout=240)
        return process.returncode, told.decode()
    with tempfile.TemporaryFile() as errors:
        process = house.nursery.start(line.split(), house.environment(), stdout, stderr=errors)
        stdout.close()
        code = process.wait(timeout=240)
        errors.seek(0)
        return code, errors.read().decode()


def start(house: House, *arguments: str, **streams: Any) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "workers.cli", *arguments]
    return subprocess.Popen(command, env=house.environment(), **{"stderr": subprocess.PIPE, **streams})


@pytest.mark.parametrize("line", PRINTING)
def test_a_full_device_is_one_line_and_exit_1(house: House, line: str):
    with Path("/dev/full").open("wb") as full:
        assert end_of(house, line, full) == (1, "standard output: No space left on device\n")


@pytest.mark.parametrize("line", PRINTING)
def test_a_pipe_that_nobody_reads_ends_a_command_quietly(house: House, line: str):
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as stdout:
        assert end_of(house, line, stdout) == (141, "")


@pytest.mark.parametrize("taken_by", ["full disk", "no reader"])
def test_an_import_whose_messages_nobody_takes_goes_on(house: House, tmp_path: Path, taken_by: str):
    (tmp_path / "people.csv").write_text("phone\nwrong\n+32470000001\n")
    if taken_by == "full disk":
        writer = os.open("/dev/full", os.O_WRONLY)
    else:
        reader, writer = os.pipe()
        os.close(reader)
    command = ("import", str(tmp_path / "people.csv"), "--channel", "sms", "--group-id", "gro_1", "--json")
    with (
        os.fdopen(writer, "wb") as stderr,
        start(house, *command, stdout=subprocess.PIPE, stderr=stderr) as process,
    ):
        told, _ = process.communicate(timeout=240)
    assert (process.returncode, json.loads(told)["enqueued"]) == (1, 1)
    assert "wrong" in (tmp_path / "people.refused.csv").read_text()


def test_a_full_disk_is_told_of_the_file_that_needs_it(house: House, tmp_path: Path):
    (tmp_path / "people.csv").write_text("phone\nwrong\n+32470000001\n")
    command = (
        f"ulimit -f 0; exec {sys.executable} -m workers.cli import people.csv --channel sms --group-id gro_1"
    )
    root = Path(__file__).parents[3]
    done = subprocess.run(
        ["/bin/sh", "-c", command],
        cwd=tmp_path,
        env={**house.environment(), "PYTHONPATH": str(root)},
        capture_output=True,
        check=False,
        text=True,
        timeout=240,
    )
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("people.refused.csv: File too large; ")


def test_a_terminal_without_room_gets_what_a_pipe_gets(house: House):
    assert house.run_process("status", COLUMNS="0", LINES="0").stdout == house.run_process("status").stdout


def test_events_that_are_followed_end_with_their_reader(house: House):
    event = '{"id": "m", "type": "t", "time": "t", "data": {}}'
    with house.start("events", "--follow") as process:
        house.redis.xadd("coupontools:events", {"type": "t", "event": event})
        assert process.stdout.readline()
        process.stdout.close()
        house.redis.xadd("coupontools:events", {"type": "t", "event": event})
        assert process.wait(timeout=240) == 141
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
        [sys.executable, "-c", program], capture_output=True, check=False, text=True, timeout=240
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
        assert process.wait(timeout=240) == 0


def test_text_that_the_terminal_cannot_show_ends_no_command(house: House):
    event = '{"id": "m", "type": "t", "time": "t", "data": {"name": "Crème ✓"}}'
    house.redis.xadd("coupontools:events", {"type": "t", "event": event})
    done = subprocess.run(
        [sys.executable, "-m", "workers.cli", "events"],
        env={**house.environment(), "PYTHONIOENCODING": "latin-1"},
        capture_output=True,
        check=False,
        timeout=240,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert "name Crème ?".encode("latin-1") in done.stdout


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([b"create_group", b"--channel", b"sms", b"--name", b"\xff"], "--name"),
        ([b"list_groups", b"--channel", b"sms", b"--correlation-id", b"a\xff"], "--correlation-id"),
        ([b"list_groups", b"--channel", b"sms", b"--deadline-seconds", b"9" * 30], "--deadline-seconds"),
        ([b"list_groups", b"--channel", b"sms", b"--deadline-seconds", b"9" * 5000], "--deadline-seconds"),
        ([b"verify_webhook", b"--payload", b"deep.json"], "--payload"),
    ],
    ids=["name", "correlation-id", "large number", "very large number", "deep JSON"],
)
def test_what_no_message_can_hold_is_wrong_usage(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[bytes], told: str
):
    (tmp_path / "deep.json").write_text('{"id": "evt_1", "x": ' + "[" * 400 + "]" * 400 + "}")
    monkeypatch.chdir(tmp_path)
    if b"\xff" in arguments:
        # Also what Python makes of an argument that is no text.
        house.for_real()
    root = Path(__file__).parents[3]
    done = house.run_process("enqueue", *map(os.fsdecode, arguments), COLUMNS="200", PYTHONPATH=root)
    assert (done.returncode, done.stdout) == (2, "")
    assert told in done.stderr
    assert "Traceback" not in done.stderr
    assert house.redis.dbsize() == 0


def test_an_import_of_a_file_whose_name_is_no_text(house: House, tmp_path: Path):
    file = os.fsencode(tmp_path) + b"/\xff.csv"
    Path(os.fsdecode(file)).write_text("phone\n123\n")
    # As Python hands on an argument that is no text.
    command = ["import", os.fsdecode(file), "--channel", "sms", "--group-id", "gro_1"]
    for option in ([], ["--json"]):
        done = house.run_process(*command, *option)
        assert done.returncode == 1
        assert ("refused rows are in" if not option else '"refused":1') in done.stdout
        assert "Traceback" not in done.stderr
    done = house.run_process(*command, "--correlation-id", os.fsdecode(b"\xff"))
    assert done.returncode == 2
    assert "must be UTF-8 text" in done.stderr


CANNOT_LISTEN = ["127.0.0.1", "no-such-host.invalid", "a" * 80 + ".invalid"]


def assert_told(done: Done, host: str, port: int) -> None:
    """One line, and exit code 1."""
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"cannot listen on {host}, port {port}: ")
    assert "while" not in line


@pytest.mark.parametrize("host", CANNOT_LISTEN)
def test_a_sandbox_that_cannot_listen_is_one_line_and_exit_1(house: House, host: str):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = house.run_process("sandbox", "--host", host, "--port", str(port))
    assert_told(done, host, port)


@pytest.mark.parametrize("host", CANNOT_LISTEN)
def test_a_sandbox_of_its_own_that_cannot_listen_says_the_same(host: str, capsys: pytest.CaptureFixture[str]):
    """As `python -m sandbox` is called by `Sandbox`; that it ends a process so, test_sandbox_process sees."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SystemExit) as ended:
            python_m_sandbox(["--host", host, "--port", str(port)])
    assert isinstance(ended.value.code, int)
    assert_told(Done(ended.value.code, *capsys.readouterr()), host, port)
