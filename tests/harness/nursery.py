"""Starts commands by fork, for tests: nearly all of the CPU that a start costs goes into loading modules.

The tests run this file as a program, one for each pytest process; `nursling` is its other side. It has loaded the libraries and our own
modules, and has called nothing in them. Each process that it starts, and each that such a process starts, finds our modules as they were
when they were loaded, and executes the one that it runs anew, as a new Python would. They are processes like any other, with a process id,
a parent, a session, an environment and an exit code of their own. Two things tell them apart: `/proc` shows the nursery's command line and
environment, and what is set up when a module is loaded was set up in the nursery's environment; what of that is each process's own must be
made anew at a fork, as delivery's tokens are. So tests of starting itself, of metrics, of what a process costs and of another version
start real ones (`House.for_real`).
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import logging
import os
import runpy
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from types import ModuleType
from typing import Any, NoReturn

OURS = {"actors", "config", "coupontools", "delivery", "sandbox", "workers"}
#: What commands, the supervisor and a worker process load, between them.
LOADED = (
    "workers.cli.main",
    "workers.cli.run",
    "workers.cli.receive",
    "workers.cli.import_csv",
    "workers.cli.dead",
    "workers.cli.status",
    "workers.cli.events",
    "workers.supervisor",
    "workers.process",
    "coupontools.transport",
    # A worker process loads it when it puts its parts together.
    "opentelemetry.trace.propagation.tracecontext",
)
#: Each of our modules that was loaded, and the names in it as they were then.
as_loaded: dict[str, tuple[ModuleType, dict[str, Any]]] = {}
#: The functions among them that keep what they have answered.
caching: list[Any] = []
#: The longest order, in bytes; with it come the standard streams, and a socket that hears of the process.
LONGEST_ORDER = 65536


def ours() -> list[str]:
    """The names of our modules that are loaded."""
    return [name for name in sys.modules if name.partition(".")[0] in OURS]


def load() -> None:
    """Loads everything that is used later, and notes how it looks."""
    gc.disable()
    for name in LOADED:
        importlib.import_module(name)
    gc.enable()
    as_loaded.update({name: (sys.modules[name], dict(vars(sys.modules[name]))) for name in ours()})
    found = {id(each): each for _, names in as_loaded.values() for each in names.values()}
    caching.extend(each for each in found.values() if hasattr(each, "cache_clear"))
    forget()


def forget() -> None:
    """Empties the caches of our functions."""
    for function in caching:
        function.cache_clear()


def renew() -> None:
    """Makes our modules what they were when they were loaded, and forgets others.

    What was called since then has left nothing else behind than names that it assigned, and caches: before a process is what it is to be,
    nothing of ours puts anything into a dictionary or the like that a module holds. Each module that a process has loaded by itself is
    loaded anew by the next.
    """
    for name in ours():
        del sys.modules[name]
    for name, (module, names) in as_loaded.items():
        vars(module).clear()
        vars(module).update(names)
        sys.modules[name] = module
    forget()


def execute(arguments: list[str]) -> NoReturn:
    """Does what `python -P -m MODULE ARGUMENTS`, or `python -P -c PROGRAM`, does, in this process, and ends it."""
    # The module that is executed is executed anew.
    sys.modules.pop(arguments[0], None)
    logging.getLogger().handlers.clear()
    sys.excepthook, threading.excepthook = sys.__excepthook__, threading.__excepthook__
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.argv = list(arguments)
    for name in ("sitecustomize", "usercustomize"):
        # A new Python runs these first; `make mutants` records by one what a process executes.
        if name in sys.modules:
            importlib.reload(sys.modules[name])
    code: Any = None
    try:
        if arguments[0] == "-c":
            program = sys.modules["__main__"] = ModuleType("__main__")
            exec(compile(arguments[1], "<string>", "exec"), vars(program))  # noqa: S102 - a test's own
        else:
            runpy.run_module(arguments[0], run_name="__main__", alter_sys=True)
    except SystemExit as end:
        code = end.code
    except BaseException:
        sys.excepthook(*sys.exc_info())
        code = 1
    if isinstance(code, str):
        sys.stderr.write(f"{code}\n")
        code = 1
    # As an interpreter that ends, but without taking apart the stack of the process that this one was forked from.
    threading._shutdown()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code or 0)


def execv(_: str, command: list[str]) -> NoReturn:
    """Stands for `os.execv`, by which `run` becomes the supervisor."""
    subprocess.Popen = Forked  # type: ignore[assignment, misc]
    renew()
    execute(module_of(command))


def module_of(command: list[str]) -> list[str]:
    """The module that a command runs, and its arguments."""
    assert command[:3] == [sys.executable, "-P", "-m"], command
    return command[3:]


class Forked:
    """Stands for `subprocess.Popen`, by which the supervisor starts its worker processes."""

    def __init__(self, command: list[str], *, stdin: int, env: Any) -> None:
        assert env is os.environ
        self.returncode: int | None = None
        self._command = command
        self.pid = os.fork()
        if self.pid == 0:
            os.dup2(stdin, 0)
            os.closerange(3, os.sysconf("SC_OPEN_MAX"))
            renew()
            execute(module_of(command))

    def poll(self) -> int | None:
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode

    def wait(self, timeout: float = float("inf")) -> int:
        deadline = time.monotonic() + timeout
        while (code := self.poll()) is None:
            if time.monotonic() > deadline:
                raise subprocess.TimeoutExpired(self._command, timeout)
            time.sleep(0.01)
        return code

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def begin(order: dict[str, Any], streams: list[int], answer: int) -> NoReturn:
    """Makes the process that was just forked what was ordered, and says which it is."""
    signal.set_wakeup_fd(-1)
    os.setsid()
    # Not before it leads a group: who hears of it may signal that at once.
    os.write(answer, str(os.getpid()).encode())
    # Standard input was the way to the tests.
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    os.chdir(order["folder"])
    os.environ.clear()
    os.environ.update(order["environment"])
    tempfile.tempdir = None
    os.execv = execv  # type: ignore[assignment]
    execute(order["arguments"])


def serve(way: socket.socket) -> None:
    """Starts what the tests order, and tells them the exit code of each, until they are gone."""
    ended, tell_ended = socket.socketpair()
    for end in (ended, tell_ended):
        end.setblocking(False)
    signal.set_wakeup_fd(tell_ended.fileno())
    signal.signal(signal.SIGCHLD, lambda *_: None)
    selector = selectors.DefaultSelector()
    selector.register(way, selectors.EVENT_READ)
    selector.register(ended, selectors.EVENT_READ)
    waiting: dict[int, socket.socket] = {}
    while True:
        ready = {key.fileobj for key, _ in selector.select()}
        if ended in ready:
            with suppress(BlockingIOError):
                ended.recv(4096)
            bury(waiting)
        if way in ready:
            text, files, _, _ = socket.recv_fds(way, LONGEST_ORDER, 4)
            if not text:
                leave_nobody(waiting)
                return
            *streams, answer = files
            pid = os.fork()
            if pid == 0:
                begin(json.loads(text), streams, answer)
            for stream in streams:
                os.close(stream)
            waiting[pid] = socket.socket(fileno=answer)


def leave_nobody(waiting: Iterable[int]) -> None:
    """Kills what still runs, whole groups of it: tests that were killed themselves have ended nothing, and workers would go on for ever."""
    for pid in waiting:
        with suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)


def bury(waiting: dict[int, socket.socket]) -> None:
    """Tells the exit code of each process that has ended."""
    while waiting:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if not pid:
            return
        with waiting.pop(pid) as answer, suppress(OSError):
            answer.send(str(os.waitstatus_to_exitcode(status)).encode())


def main() -> None:
    load()
    # What is here by now is shared by all processes; a collection would write to all of it.
    gc.collect()
    gc.freeze()
    with socket.socket(fileno=0) as way:
        serve(way)


if __name__ == "__main__":
    main()
