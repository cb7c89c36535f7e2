"""The log as a real process writes it: each line is one JSON object, also a library's, and shows nothing personal."""

from __future__ import annotations

import io
import json
import logging
import os
import pty
import re
import socket
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable

import pytest
import structlog

from config import setup_logging

RFC3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")


def run(program: str, *, code: int = 0, **environment: str) -> list[dict[str, object]]:
    """Run `program` with the log set up; every line on stdout and stderr must be one JSON object."""
    # Load structlog as our processes do.
    start = (
        "from config.spared import spared\nwith spared(): import structlog\n"
        "from config import setup_logging, log_loop_exception\nsetup_logging('json', 'INFO')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", start + textwrap.dedent(program)],
        capture_output=True,
        timeout=240,
        env={
            **os.environ,
            "PYTHONWARNINGS": "default",
            "PYTHONPATH": os.pathsep.join(sys.path),
            **environment,
        },
        check=False,
    )
    assert done.returncode == code, done.stderr.decode()
    lines = [json.loads(line) for line in (done.stdout + done.stderr).splitlines()]
    for line in lines:
        assert {"timestamp", "level", "event", "logger"} <= line.keys()
        assert RFC3339.fullmatch(line["timestamp"])
    return lines


@pytest.fixture
def _logging_restored():
    """Put back what `setup_logging` replaces in this process."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    hooks = sys.excepthook, threading.excepthook, sys.unraisablehook
    warning_handlers = logging.getLogger("py.warnings").handlers
    yield
    root.handlers = handlers
    root.setLevel(level)
    sys.excepthook, threading.excepthook, sys.unraisablehook = hooks
    logging.captureWarnings(capture=False)
    logging.getLogger("py.warnings").handlers = warning_handlers
    structlog.reset_defaults()


def test_ours_and_those_of_libraries_look_alike():
    lines = run(
        """
        import logging, structlog, warnings
        log = structlog.get_logger("workers")
        log.info("job.finished", job="add_contact", phone="+32470123456", api_ms=12.5)
        log.warning("%d of %s", 3, "john@doe.com")
        logging.getLogger("dramatiq.worker.WorkerThread").error(
            "Failed to process message %s with unhandled exception.", "add_contact(first_name='Ada')",
            extra={"message_id": "550e8400-e29b-41d4-a716-446655440000", "raw": "Ada"},
        )
        warnings.warn("old +32470123456")
        log.debug("not written")
        """
    )
    assert [(line["logger"], line["level"]) for line in lines] == [
        ("workers", "info"),
        ("workers", "warning"),
        ("dramatiq.worker.WorkerThread", "error"),
        ("py.warnings", "warning"),
    ]
    assert list(lines[0])[:4] == ["timestamp", "level", "event", "logger"]
    assert lines[0] | {"timestamp": ""} == {
        "timestamp": "",
        "level": "info",
        "event": "job.finished",
        "logger": "workers",
        "job": "add_contact",
        "phone": "+32•••••56",
        "api_ms": 12.5,
    }
    assert lines[1]["event"] == "3 of j•••@d•••"
    assert lines[2]["event"] == (
        "Failed to process message add_contact(first_name='•••') with unhandled exception."
    )
    assert lines[2]["message_id"] == "550e8400-e29b-41d4-a716-446655440000"
    assert lines[2]["raw"] == "•••"
    assert "UserWarning: old +32•••••56" in str(lines[3]["event"])


def test_loggers_with_handlers_of_their_own_write_through_ours():
    lines = run(
        """
        import logging, uvicorn
        logger = logging.getLogger("uvicorn.error")
        logger.addHandler(logging.StreamHandler())
        logger.propagate = False
        setup_logging("json", "info")
        logger.info("Uvicorn running")
        """
    )
    assert [line["event"] for line in lines] == ["Uvicorn running"]


def test_an_exception_is_one_line_and_masked():
    (line,) = run(
        """
        import structlog
        try:
            raise ValueError("no such contact: +32470123456") from OSError("john@doe.com")
        except ValueError:
            structlog.get_logger("actors").exception("job.failed")
        """
    )
    assert (line["event"], line["level"]) == ("job.failed", "error")
    assert "ValueError: no such contact: +32•••••56" in str(line["exception"])
    assert "OSError: j•••@d•••" in str(line["exception"])
    assert "exc_info" not in line


def test_what_nobody_caught_ends_in_the_log():
    lines = run(
        """
        import asyncio, threading, gc

        def fail(): raise RuntimeError("in a thread, +32470123456")
        thread = threading.Thread(target=fail, name="helper"); thread.start(); thread.join()

        class Broken:
            def __del__(self): raise RuntimeError("in a finalizer, +32470123456")
        Broken(); gc.collect()

        async def main():
            asyncio.get_running_loop().set_exception_handler(log_loop_exception)
            async def task(): raise RuntimeError("in a task, +32470123456")
            forgotten = asyncio.ensure_future(task())
            await asyncio.wait([forgotten])
            del forgotten
            gc.collect()
        asyncio.run(main())
        raise RuntimeError("in main, +32470123456")
        """,
        code=1,
    )
    assert [str(line["exception"]).splitlines()[-1] for line in lines] == [
        f"RuntimeError: in {place}, +32•••••56" for place in ("a thread", "a finalizer", "a task", "main")
    ]
    assert lines[0]["event"] == "uncaught exception in thread helper"
    assert {line["logger"] for line in lines} == {"uncaught"}


def test_an_interrupt_leaves_no_traceback():
    (line,) = run("raise KeyboardInterrupt", code=-2)
    assert line["event"] == "interrupted from the keyboard"


def test_odd_values_and_broken_calls_are_written_all_the_same():
    lines = run(
        r"""
        import datetime, decimal, logging, structlog, uuid
        class Broken:
            def __repr__(self): raise RuntimeError("no")
        log = structlog.get_logger("odd")
        log.info(123, value=Broken(), when=datetime.date(2026, 1, 2), id=uuid.UUID(int=1), keys={b"\xff": 1, 2: {3}},
                 nan=float("nan"), big=10**40, surrogate="\ud800", price=decimal.Decimal("1.50"))
        log.info("%d jobs", "many")
        logging.getLogger("odd").info("%d jobs", "many", "more")
        logging.getLogger("odd").info("%s", Broken())
        """
    )
    assert lines[0]["event"] == "123"
    assert lines[0]["keys"] == {"\\xff": 1, "2": [3]}
    assert lines[0]["when"] == "2026-01-02"
    assert lines[0]["price"] == "1.50"
    assert lines[1]["event"] == "%d jobs"
    assert "TypeError" in str(lines[1]["log_error"])
    assert lines[2]["event"] == "log line could not be written: TypeError"
    assert lines[2]["template"] == "%d jobs"
    assert lines[3]["event"] == "log line could not be written: RuntimeError"


def test_a_stream_that_is_not_utf8_gets_ascii():
    (line,) = run(
        "import structlog; structlog.get_logger('x').info('café ☕ 😀')",
        PYTHONIOENCODING="latin-1",
        PYTHONUTF8="0",
    )
    assert line["event"] == "café ☕ 😀"


def test_a_closed_stream_does_not_stop_the_work():
    program = """
    import os, structlog
    os.close(2)
    structlog.get_logger("x").error("lost")
    # Python itself would write what is left of the stream at its end, and say by exit code 120 that it cannot.
    os._exit(7)
    """
    assert run(program, code=7) == []


def test_threads_and_context_share_a_log():
    lines = run(
        """
        import structlog, threading
        def work(n):
            with structlog.contextvars.bound_contextvars(correlation_id=f"c{n}"):
                for i in range(200):
                    structlog.get_logger("w").info("tick", i=i)
        threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
        [t.start() for t in threads]; [t.join() for t in threads]
        """
    )
    assert len(lines) == 800
    assert {line["correlation_id"] for line in lines} == {"c0", "c1", "c2", "c3"}


def test_auto_is_a_console_on_a_terminal():
    controller, terminal = pty.openpty()
    program = (
        "from config import setup_logging; import structlog; setup_logging('auto', 'INFO');"
        "structlog.get_logger('w').info('job.finished', phone='+32470123456')\n"
        "try: 1/0\n"
        "except ZeroDivisionError: structlog.get_logger('w').exception('broke')"
    )
    try:
        subprocess.run(
            [sys.executable, "-c", program],
            stderr=terminal,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            check=True,
            timeout=240,
        )
        shown = os.read(controller, 65536).decode()
    finally:
        os.close(controller)
        os.close(terminal)
    assert "job.finished" in shown
    assert "+32•••••56" in shown
    assert "ZeroDivisionError: division by zero" in shown
    assert not shown.lstrip().startswith("{")


@pytest.mark.usefixtures("_logging_restored")
def test_auto_is_json_elsewhere_and_a_second_setup_replaces_the_first():
    first, second = io.StringIO(), io.StringIO()
    setup_logging("auto", "warning", stream=first)
    setup_logging("auto", "warning", stream=second)
    logging.getLogger("x").warning("once")
    structlog.get_logger("x").info("below the level")
    assert first.getvalue() == ""
    assert json.loads(second.getvalue())["event"] == "once"
    with pytest.raises(ValueError, match="LOUD"):
        setup_logging("json", "loud")


@pytest.mark.usefixtures("_logging_restored")
def test_the_console_is_readable_where_the_stream_is_not_utf8():
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii", write_through=True)
    setup_logging("console", "INFO", stream=stream)
    logging.getLogger("x").info("to john@doe.com")
    assert b"to j\\u2022\\u2022\\u2022@d" in raw.getvalue()


def sockets() -> tuple[int, int]:
    """Return the two ends of a connection: what is written to the second can be read from the first."""
    ours, its = socket.socketpair()
    return ours.detach(), its.detach()


@pytest.mark.parametrize("channel", [os.pipe, sockets], ids=["pipe", "socket"])
def test_a_log_that_nobody_reads_stops_no_work(channel: Callable[[], tuple[int, int]]):
    """systemd's journal reads from a socket."""
    program = """
    import sys
    from config import setup_logging
    setup_logging("json", "INFO")
    import structlog
    log = structlog.get_logger("workers")
    for number in range(3000):
        log.info("line", number=number)
    sys.stdout.write("worked\\n")
    sys.stdout.flush()
    sys.stdin.readline()
    log.info("last")
    """
    reading, writing = channel()
    with (
        os.fdopen(reading, "rb") as log,
        subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(program)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=writing,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        ) as process,
    ):
        assert process.stdin
        assert process.stdout
        os.close(writing)
        assert process.stdout.readline() == b"worked\n"
        # Read all that is in the pipe, and only then let the process write its last line.
        written = [json.loads(log.readline())]
        os.set_blocking(log.fileno(), False)
        rest = log.read() or b""
        os.set_blocking(log.fileno(), True)
        written += [json.loads(line) for line in rest.splitlines()]
        process.stdin.write(b"\n")
        process.stdin.flush()
        written += [json.loads(line) for line in log.read().splitlines()]
        assert process.wait(timeout=120) == 0
    *lines, dropped, last = written
    assert [line["number"] for line in lines] == list(range(len(lines)))
    assert (dropped["event"], dropped["lines"]) == ("log.dropped", 3000 - len(lines))
    assert dropped["lines"] > 0
    assert last["event"] == "last"


@pytest.mark.parametrize("taken_by", ["full disk", "no reader"])
def test_a_log_that_nobody_takes_changes_no_exit_code(taken_by: str):
    """A worker that was told to stop exits with 0, although what it logged before could not be written."""
    if taken_by == "full disk":
        writing = os.open("/dev/full", os.O_WRONLY)
    else:
        reading, writing = os.pipe()
        os.close(reading)
    program = (
        "import logging; from config import setup_logging; setup_logging('json', 'INFO'); logging.error('x')"
    )
    with os.fdopen(writing, "wb") as stderr:
        done = subprocess.run(
            [sys.executable, "-c", program],
            stderr=stderr,
            timeout=120,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            check=False,
        )
    assert done.returncode == 0


def test_a_line_goes_into_a_pipe_in_one_piece():
    """Longer lines of several processes would mix in the pipe, and be no JSON any more."""
    (short, long, many) = run(
        """
        import structlog
        log = structlog.get_logger("workers")
        log.info("short")
        def deeper(n):
            if n:
                deeper(n - 1)
            raise ValueError("the end " + "x" * 50_000)
        try:
            deeper(90)
        except ValueError:
            log.exception("fault", message_id="m-1")
        log.info("many", **{f"field_{n}": "y" * 300 for n in range(40)}, nested=[["z" * 300] * 40])
        """
    )
    assert short["event"] == "short"
    assert (long["event"], long["message_id"]) == ("fault", "m-1")
    assert long["exception"].startswith("Traceback")
    assert long["exception"].endswith("x" * 100)
    assert many["event"] == "many"
    for line in (long, many):
        assert len(json.dumps(line, separators=(",", ":")).encode()) < 4096


def test_a_line_at_a_full_second_has_its_fraction_as_well() -> None:
    (line,) = run("""
        import logging, time

        time.time_ns = lambda: 1_795_435_200_000_000_000
        logging.getLogger("x").warning("at noon")
    """)
    assert line["timestamp"] == "2026-11-23T12:00:00.000000Z"
