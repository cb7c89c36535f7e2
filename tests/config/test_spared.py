"""`spared` hides optional parts of libraries while the libraries are loaded, and no longer."""

from __future__ import annotations

import gc
import subprocess
import sys

from config.spared import SPARED, spared


def told_by(code: str) -> str:
    """Return what ``code`` prints in a new Python."""
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_who_wants_them_afterwards_gets_them() -> None:
    """A development environment has all of them but better_exceptions."""
    names = ", ".join(name for name in SPARED if name != "better_exceptions")
    assert told_by(f"import workers.process, coupontools.transport, {names}; print('loaded')") == "loaded"


def test_what_is_loaded_already_stays() -> None:
    code = "import click; from config.spared import spared\nwith spared(): import click as again\nprint(again is click)"
    assert told_by(code) == "True"


def test_spans_need_none_of_them() -> None:
    code = "import workers.process; from workers.tracing import tracing_if_installed; print(tracing_if_installed() is not None)"
    assert told_by(code) == "True"


def test_the_garbage_collector_rests_meanwhile_and_not_longer() -> None:
    with spared():
        assert not gc.isenabled()
        with spared():
            pass
        assert not gc.isenabled()
    assert gc.isenabled()
