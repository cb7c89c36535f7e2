"""However many signals come at once, a process is told to stop, and does not stand still over it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

BURSTS = 100
LISTENER = f"""
import sys
from workers.signals import Stop
for _ in range({BURSTS}):
    stop = Stop()
    stop.listen()
    sys.stdout.write("listening\\n")
    sys.stdout.flush()
    while not stop.wait(0.001):
        pass
    sys.stdout.write("told\\n")
    sys.stdout.flush()
# The first signal of the last burst ends it, and the others may come while it ends.
stop.end()
"""


def test_a_burst_of_signals_is_one_word():
    """In the midst of `threading.Event.set` a second signal waited for ever, about one burst in ten."""
    with subprocess.Popen([sys.executable, "-c", LISTENER], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        for _ in range(BURSTS):
            assert process.stdout.readline() == "listening\n"
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                os.kill(process.pid, number)
            assert process.stdout.readline() == "told\n"
        assert process.wait(timeout=120) == 0


def test_the_hang_up_that_nohup_has_ignored_stays_ignored():
    code = """
import os, signal
from workers.signals import Stop
signal.signal(signal.SIGHUP, signal.SIG_IGN)
stop = Stop()
stop.listen()
os.kill(os.getpid(), signal.SIGHUP)
assert not stop.wait(0.2)
os.kill(os.getpid(), signal.SIGTERM)
assert stop.wait(30)
"""
    assert subprocess.run([sys.executable, "-c", code], timeout=240, check=False).returncode == 0
