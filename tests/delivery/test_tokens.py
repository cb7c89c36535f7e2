"""The tokens by which an attempt knows its own claim: two processes with one token would both make the call."""

from __future__ import annotations

import subprocess
import sys

FORKS = """
import os
from delivery.claim import tokens
reader, writer = os.pipe()
child = os.fork()
if child == 0:
    os.write(writer, tokens.next().encode())
    os._exit(0)
os.waitpid(child, 0)
print(os.read(reader, 100).decode(), tokens.next(), tokens.next())
"""


def test_no_two_are_alike_also_of_a_process_that_was_forked() -> None:
    done = subprocess.run(
        [sys.executable, "-c", FORKS], capture_output=True, text=True, check=True, timeout=240
    )
    assert len(set(done.stdout.split())) == 3
