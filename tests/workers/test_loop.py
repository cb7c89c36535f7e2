"""The loop on which jobs run."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.harness import House
from workers.loop import _new_loop


def test_jobs_run_on_uvloop_and_on_asyncios_own_loop_where_there_is_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    uvloop = pytest.importorskip("uvloop")
    made = _new_loop()
    made.close()
    assert isinstance(made, uvloop.Loop)
    monkeypatch.setitem(sys.modules, "uvloop", None)
    made = _new_loop()
    made.close()
    assert isinstance(made, asyncio.SelectorEventLoop)


#: Waits for a look-up while it is closed, as uvloop's loop does.
WAITS_IN_CLOSE = """
class Waiting(uvloop.Loop):
    def close(self):
        look_up = threading.Thread(target=threading.Event().wait)
        look_up.start()
        look_up.join()

loop._new_loop = Waiting
"""

#: Is closed at once while a thread of its executor still looks up a name.
WAITS_IN_EXECUTOR = """
class Waiting(loop.JobLoop):
    async def _open(self):
        await super()._open()
        self.look_up = asyncio.get_running_loop().run_in_executor(None, threading.Event().wait)

loop._new_loop = asyncio.SelectorEventLoop
assembly.JobLoop = Waiting
"""


@pytest.mark.parametrize("waits", [WAITS_IN_CLOSE, WAITS_IN_EXECUTOR], ids=["uvloop", "asyncio"])
def test_a_look_up_of_a_name_that_does_not_end_holds_up_no_stop(house: House, waits: str) -> None:
    """When the process ends, Python would wait for the thread that looks up the name."""
    program = f"""
import asyncio, sys, threading, uvloop
from workers import assembly, loop, process
{waits}
sys.exit(process.main(["--concurrency=2"]))
"""
    command = [sys.executable, "-c", program]
    environment = {**house.environment(), "PYTHONPATH": str(Path(__file__).parents[2])}
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stderr
            while "worker.started" not in (line := process.stderr.readline()):
                assert line, "it did not start"
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=60) == 0
            assert "worker.stopped" in process.stderr.read()
        finally:
            process.kill()
