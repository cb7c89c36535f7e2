"""`check --live`: whether this host's processes are alive and turn, and nothing else. It loads only the modules that it needs."""

from __future__ import annotations

import json
import sys
from contextlib import suppress

from config.few_settings import few_settings
from workers.beats import Beats, beats_folder, living

__all__ = ["check_live", "told_of", "told_of_standing"]


def check_live(*, as_json: bool) -> int:
    """Print the result. Return the exit code."""
    try:
        folder = beats_folder(**few_settings())
        processes = list(living(folder))
    except (OSError, UnicodeDecodeError) as error:
        return _tell(0, f"cannot look: {error}", as_json=as_json)
    problem = None
    if not processes:
        problem = f"no worker process of this Redis and these key names runs here (none in {folder})"
    elif stuck := [each for each in processes if not each.turns]:
        problem = "; ".join(told_of(each) for each in stuck)
    return _tell(len(processes), problem, as_json=as_json)


def told_of(process: Beats) -> str:
    """Return the message about a process that does not turn."""
    return f"worker process {process.pid} has not turned for {process.silent:.0f} s"


def told_of_standing(process: Beats) -> str:
    """Return the message about a process that turns, but ends no job."""
    return f"worker process {process.pid} has ended no job for {process.standing:.0f} s, and all its places are taken"


def _tell(workers: int, problem: str | None, *, as_json: bool) -> int:
    told = problem or f"alive: {workers} worker processes turn"
    if as_json:
        told = json.dumps({"healthy": problem is None, "workers": workers, "problem": problem})
    stream = sys.stderr if problem and not as_json else sys.stdout
    # If nobody reads the text, the exit code is enough.
    with suppress(OSError):
        if stream is not None:
            stream.write(f"{told}\n")
            stream.flush()
    return 1 if problem else 0
