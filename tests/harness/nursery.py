"""Starts commands by fork, for tests: nearly all of the CPU that a start costs goes into loading modules.

The tests run this file as a program, one for each pytest process; `nursling` is the tests' side of it. The nursery has loaded the libraries
and our own modules, and has called nothing in them. Each process that it starts, and each process started by one of those, finds our
modules as they were after loading, and executes the module that it runs anew, as a new Python would. These are normal processes, with a
process id, a parent, a session, an environment and an exit code of their own. They differ from a new Python in two ways: `/proc` shows the
nursery's command line and environment, and everything that a module sets up while it is loaded was set up in the nursery's environment. If
each process needs its own, it must be made anew at a fork, as delivery's tokens are. So tests of the start itself, of metrics, of the cost
of a process and of another version start real processes (`House.for_real`).
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
#: The modules that commands, the supervisor and a worker process load.
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
    # A worker process loads this one late, when it puts its parts together.
    "opentelemetry.trace.propagation.tracecontext",
)
#: Each of our modules that was loaded, and its names as they were then.
as_loaded: dict[str, tuple[ModuleType, dict[str, Any]]] = {}
#: The functions among these names that cache their results.
caching: list[Any] = []
#: The longest order, in bytes; the standard streams and a socket for the answers come with it.
LONGEST_ORDER = 65536


def ours() -> list[str]:
    """Return the names of our modules that are loaded."""
    return [name for name in sys.modules if name.partition(".")[0] in OURS]


def load() -> None:
    """Load everything that is used later, and note the names in our modules."""
    gc.disable()
    for name in LOADED:
        importlib.import_module(name)
    gc.enable()
    as_loaded.update({name: (sys.modules[name], dict(vars(sys.modules[name]))) for name in ours()})
    found = {id(each): each for _, names in as_loaded.values() for each in names.values()}
    caching.extend(each for each in found.values() if hasattr(each, "cache_clear"))
    forget()


def forget() -> None:
    """Empty the caches of our functions."""
    for function in caching:
        function.cache_clear()


def renew() -> None:
    """Make our modules what they were after loading, and forget those that were loaded since.

    It is enough to put back the assigned names and to empty the caches: up to this point in a process, nothing of ours changes a dictionary
    or the like that a module holds. A module that one process has loaded by itself is loaded anew by the next.
    """
    for name in ours():
        del sys.modules[name]
    for name, (module, names) in as_loaded.items():
        vars(module).clear()
        vars(module).update(names)
        sys.modules[name] = module
    forget()


def execute(arguments: list[str]) -> NoReturn:
    """Do in this process what `python -P -m MODULE ARGUMENTS`, or `python -P -c PROGRAM`, does, and end the process."""
    # Execute the module anew, though it is loaded already.
    sys.modules.pop(arguments[0], None)
    logging.getLogger().handlers.clear()
    sys.excepthook, threading.excepthook = sys.__excepthook__, threading.__excepthook__
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.argv = list(arguments)
    for name in ("sitecustomize", "usercustomize"):
        # A new Python runs these first; `make mutants` uses one to record what a process executes.
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
    # End as an interpreter does, but without unwinding the stack of the process that this one was forked from.
    threading._shutdown()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code or 0)


def execv(_: str, command: list[str]) -> NoReturn:
    """Stand in for `os.execv`, by which `run` becomes the supervisor."""
    subprocess.Popen = Forked  # type: ignore[assignment, misc]
    renew()
    execute(module_of(command))


def module_of(command: list[str]) -> list[str]:
    """Return the module that a command runs, and its arguments."""
    assert command[:3] == [sys.executable, "-P", "-m"], command
    return command[3:]


class Forked:
    """Stands in for `subprocess.Popen`, by which the supervisor starts its worker processes."""

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
    """Turn the process that was just forked into the ordered one, and answer its process id."""
    signal.set_wakeup_fd(-1)
    os.setsid()
    # Only after setsid: a test that learns the process id may signal its group at once.
    os.write(answer, str(os.getpid()).encode())
    # Standard input was the nursery's socket to the tests.
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
    """Start the processes that the tests order, and send the exit code of each, until the tests are gone."""
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
    """Kill the groups of all processes that still run: tests that were killed have ended none, and workers would run for ever."""
    for pid in waiting:
        with suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)


def bury(waiting: dict[int, socket.socket]) -> None:
    """Send the exit code of each process that has ended."""
    while waiting:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if not pid:
            return
        with waiting.pop(pid) as answer, suppress(OSError):
            answer.send(str(os.waitstatus_to_exitcode(status)).encode())


def main() -> None:
    load()
    # All processes share the memory allocated by now; a garbage collection would write to it, and so copy it.
    gc.collect()
    gc.freeze()
    with socket.socket(fileno=0) as way:
        serve(way)


if __name__ == "__main__":
    main()
