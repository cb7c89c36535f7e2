"""Check the whole model of the delivery protocol (docs/proof/), case by case, with the model checker spin.

A case names the faults that may strike and how often, and whether two effects or an endless wait must be impossible (the promise holds)
or must be found (an assumption is dropped, and the checker shows what then happens, step by step). Exit 1 if any case ends otherwise.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

MODEL = Path(__file__).resolve().parent.parent / "docs" / "proof"
LISTING = "listing.pml"
NEEDED = "make prove needs spin and gcc (Debian: apt-get install spin gcc)"


@dataclass(frozen=True)
class Case:
    """The faults that may happen, and what the checker must find."""

    what: str
    options: str
    #: Does the promise hold? If not, the checker must find how it is broken.
    holds: bool = True
    model: str = "protocol.pml"


def long_listing(
    what: str,
    options: str = "",
    *,
    kills: int,
    takeovers: int = 0,
    freezes: int = 0,
    cuts: int = 0,
    holds: bool = True,
) -> Case:
    """Return a case of the other model, of the pages of a long listing."""
    faults = f"-DKILLS={kills} -DTAKEOVERS={takeovers} -DFREEZES={freezes} -DCUTS={cuts}"
    return Case(f"a long listing: {what}", f"{faults} {options}", holds, LISTING)


CASES = (
    Case("answers lost, workers killed", "-DLOSSES=2 -DKILLS=2"),
    Case("a living worker believed dead", "-DLOSSES=1 -DKILLS=1 -DTAKEOVERS=2"),
    Case("listings that cannot tell", "-DLOSSES=1 -DKILLS=1 -DUNDECIDED=2"),
    Case(
        "two jobs about one contact, of different data",
        "-DLOSSES=1 -DKILLS=1 -DTAKEOVERS=1 -DDIFFER -DDERIVED=true",
    ),
    Case("two different jobs under one key", "-DLOSSES=1 -DKILLS=1 -DTAKEOVERS=1 -DDIFFER"),
    Case("an operator's pause, and deadlines", "-DLOSSES=1 -DPAUSES=1 -DDEADLINES"),
    Case(
        "deadlines of different jobs, workers killed",
        "-DKILLS=1 -DLOSSES=1 -DDEADLINES -DDIFFER -DDERIVED=true",
    ),
    Case("cancelled: no new call begins", "-DLOSSES=1 -DKILLS=1 -DCANCELS=1"),
    Case(
        "cancelled, of two jobs about one contact, of different data",
        "-DLOSSES=1 -DTAKEOVERS=1 -DCANCELS=2 -DDIFFER -DDERIVED=true",
    ),
    Case("a script cut in the middle, answers lost", "-DLOSSES=1 -DCUTS=1"),
    Case("a script cut in the middle, a worker killed", "-DKILLS=1 -DCUTS=1"),
    Case("a Redis that loses its last second, replicas waited for", "-DFORGETS=1 -DWAIT -DLOSSES=1"),
    Case("all is answered in the end: losses and a kill", "-DLIVE -DLOSSES=1 -DKILLS=1"),
    Case(
        "all is answered in the end: a pause, a listing that cannot tell",
        "-DLIVE -DLOSSES=1 -DPAUSES=1 -DUNDECIDED=1",
    ),
    Case("all is answered in the end: a script cut", "-DLIVE -DKILLS=1 -DCUTS=1"),
    Case("an API that carries out later than READ_BACK_AFTER_SECONDS", "-DLOSSES=1 -DLATE", holds=False),
    Case("a freeze between the last check and the first byte", "-DFREEZE", holds=False),
    Case("a Redis that loses its last second, no replica waited for", "-DFORGETS=1", holds=False),
    Case(
        "cancelled, and who was tried before is not looked at",
        "-DLOSSES=1 -DCANCELS=1 -DRETRIED",
        holds=False,
    ),
    Case(
        "cancelled, and who may have been carried out ends at once",
        "-DLOSSES=1 -DCANCELS=1 -DHASTY",
        holds=False,
    ),
    long_listing("its workers killed, frozen and believed dead", kills=2, takeovers=2, freezes=2),
    long_listing("its scripts cut in the middle", kills=2, takeovers=1, freezes=1, cuts=2),
    long_listing("not remembered", "-DFORGOTTEN", kills=2, takeovers=1, freezes=1, cuts=1),
    long_listing("all is answered in the end", "-DLIVE", kills=1, takeovers=1, freezes=1, cuts=1),
    long_listing("its pages written as they are read", "-DAT_ONCE", kills=1, holds=False),
    long_listing("another message lists before they are written", "-DJUMP", kills=1, holds=False),
    long_listing("a repeated claim forgets what stands ready", "-DFORGETFUL", kills=1, cuts=1, holds=False),
)


@dataclass(frozen=True)
class Verdict:
    """What the checker printed about a case."""

    holds: bool
    whole: bool
    states: int
    seconds: float
    story: str


def main() -> int:
    """Check all cases, or those whose description contains the given words. Return 1 if one ends otherwise than it must."""
    if not (shutil.which("spin") and shutil.which("gcc")):
        print(NEEDED)
        return 2
    wanted = " ".join(sys.argv[1:])
    failed = 0
    print(f"{'states':>10} {'seconds':>8}  case")
    for case in CASES:
        if wanted not in case.what:
            continue
        verdict = check(case)
        right = verdict.holds == case.holds and (verdict.whole or not case.holds)
        failed += not right
        said = "holds" if verdict.holds else "a way to break it was found"
        if verdict.holds and not verdict.whole:
            said = "not checked to its end"
        print(
            f"{verdict.states:>10,} {verdict.seconds:>8.1f}  {case.what}: {said}{'' if right else '  <-- WRONG'}",
            flush=True,
        )
        if not verdict.holds:
            print(verdict.story)
    print(f"{'every case ends as it must' if not failed else f'{failed} cases end otherwise than they must'}")
    return 1 if failed else 0


def check(case: Case) -> Verdict:
    """Run the checker on one case, in a folder of its own."""
    with tempfile.TemporaryDirectory(prefix="prove-") as folder:
        for name in ("ledger.pml", "protocol.pml", LISTING):
            shutil.copy(MODEL / name, folder)
        options = case.options.split()
        live = "-DLIVE" in options
        began = time.monotonic()
        run(["spin", *options, "-a", case.model], folder)
        flags = ["-DNFAIR=3"] if live else ["-DSAFETY"]
        # A counterexample is searched breadth first: the shortest way to it is the one to read.
        run(
            [
                "gcc",
                "-O1",
                "-DVECTORSZ=4096",
                *flags,
                *(["-DBFS"] if not case.holds else []),
                "-o",
                "pan",
                "pan.c",
            ],
            folder,
        )
        told = run(["./pan", *(["-a", "-f"] if live else []), "-m2000000"], folder)
        seconds = time.monotonic() - began
        states = re.search(r"(\d+) states, stored", told)
        errors = re.search(r"errors: (\d+)", told)
        if not (states and errors):
            raise SystemExit(f"the checker did not come to an end:\n{told[-2000:]}")
        story = ""
        if Path(folder, f"{case.model}.trail").exists():
            lines = run(["spin", *options, "-t", case.model], folder).split("spin: ")[0].splitlines()
            story = "\n".join(f"{'':22}{line.strip()}" for line in lines if line.strip())
        whole = "max search depth too small" not in told and "out of memory" not in told
        return Verdict(errors[1] == "0", whole, int(states[1]), seconds, story)


def run(command: list[str], folder: str) -> str:
    """Return what a command printed; spin and its checker report faults of the model in their output, not by their exit code."""
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, check=False, env={**os.environ, "LC_ALL": "C"}
    )
    if done.returncode and command[0] == "gcc":
        raise SystemExit(done.stderr)
    return done.stdout + done.stderr


if __name__ == "__main__":
    sys.exit(main())
