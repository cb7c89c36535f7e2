"""Change one thing at a time in delivery, the broker and their Lua scripts, and see whether a test notices.

Each mutant is a copy of the project with one thing changed (`changes.py` says what, and what is left out). Only tests that execute the
changed line are run, the quickest first, until one fails: first all that start no process, then some that do. A
mutant that no test notices is shown with its line: either a test is missing, or the change makes no difference, which somebody has to
judge. Exit 1 if fewer than nine in ten were noticed.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue

from changes import Mutant, all_mutants, lines_that_tell
from executed import FOLDERS, Test, executed_by_tests, tracked

ROOT = Path(__file__).resolve().parent.parent.parent
STAGES = ("alone", "processes")
SURVIVED, NO_TEST = "SURVIVED", "NO TEST EXECUTES IT"
#: How many tests that start processes are run for a mutant: each takes seconds.
PROCESSES = 12
#: A mutant that loops for ever is noticed by its time: more than AT_LEAST seconds plus TOO_LONG times the time of its tests.
TOO_LONG, AT_LEAST = 10.0, 120.0
WANTED = 0.9
#: Did the tests pass, by pytest's exit code? A mutant that cannot be imported (2, 3, 4) is noticed, and so is one that ends the process.
PYTEST_SAYS = {"0": True} | dict.fromkeys(("1", "2", "3", "4", "late", "-6", "-9", "-11"), False)


def copy_project(folder: Path) -> Path:
    """Copy the files that git tracks."""
    for name in tracked(ROOT):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, folder / name)
    return folder


class Tests:
    """Which tests are run for which mutant."""

    def __init__(self, tests: list[Test]) -> None:
        self.texts = {
            name: (ROOT / name).read_text(encoding="utf-8")
            for name in tracked(ROOT)
            if name.startswith(FOLDERS) and name.endswith((".py", ".lua"))
        }
        self._tests = sorted(tests, key=lambda test: test.seconds)

    def quickest(self) -> list[Test]:
        """Return the quickest tests that start no process."""
        return [test for test in self._tests if not test.processes][:50]

    def of(self, mutant: Mutant) -> Iterator[tuple[str, list[Test]]]:
        """Yield each stage and its tests that execute the changed lines."""
        lines = lines_that_tell(mutant, self.texts)
        tests = [test for test in self._tests if lines & test.lines]
        yield "alone", [test for test in tests if not test.processes]
        yield "processes", [test for test in tests if test.processes][:PROCESSES]


class Copy:
    """A copy of the project, in which one thing at a time is changed, and a process that runs tests in it."""

    def __init__(self, folder: Path) -> None:
        self._folder = copy_project(folder)
        self._changes = 0
        self._server = subprocess.Popen(
            [sys.executable, str(Path(__file__).parent / "fork_server.py")],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), str(Path(__file__).parent)])},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        if not self._server.stdin or not self._server.stdout:
            raise RuntimeError("a pipe that was asked for is not there")
        self._to, self._from = self._server.stdin, self._server.stdout

    def write(self, path: str, text: str) -> None:
        """Write a file. Each version has its own modification time, or Python would run the compiled file of another version."""
        file = self._folder / path
        file.write_text(text, encoding="utf-8")
        self._changes += 1
        at = time.time() - 10_000_000 + 10 * self._changes
        os.utime(file, (at, at))

    def passes(self, tests: list[Test]) -> bool:
        """Return whether these tests pass in time."""
        wanted = self._folder.with_suffix(".tests")
        wanted.write_text("\n".join(test.name for test in tests), encoding="utf-8")
        request = {
            "seconds": AT_LEAST + TOO_LONG * sum(test.seconds for test in tests),
            "tests": str(wanted),
            "files": sorted({test.file for test in tests}),
        }
        self._to.write(json.dumps(request) + "\n")
        self._to.flush()
        answer = self._from.readline().strip()
        if answer not in PYTEST_SAYS:
            raise RuntimeError(f"the tests could not be run: {answer!r}")
        return PYTEST_SAYS[answer]

    def close(self) -> None:
        """End the process."""
        self._to.close()
        self._server.wait()


def options_of_command_line() -> argparse.Namespace:
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(prog="make mutants", description=sys.modules[__name__].__doc__)
    parser.add_argument("parts", nargs="*", help="only files whose path holds one of these")
    parser.add_argument(
        "--count", type=int, default=100, help="how many mutants to draw (default: 100; 0: all)"
    )
    parser.add_argument("--seed", type=int, default=1, help="draws the same mutants again (default: 1)")
    parser.add_argument(
        "--jobs", type=int, default=max(1, (os.cpu_count() or 2) - 1), help="how many at a time"
    )
    parser.add_argument(
        "--alone", action="store_true", help="only the tests that start no process: quicker, and notices less"
    )
    return parser.parse_args()


def noticed_by(mutant: Mutant, copies: SimpleQueue[Copy], tests: Tests, stages: tuple[str, ...]) -> str:
    """Return the stage whose tests notice a change, or why none does."""
    copy, text = copies.get(), tests.texts[mutant.path]
    copy.write(mutant.path, mutant.applied(text))
    try:
        asked = 0
        for stage, its in tests.of(mutant):
            if its and stage in stages:
                asked += len(its)
                if not copy.passes(its):
                    return stage
        return SURVIVED if asked else NO_TEST
    finally:
        copy.write(mutant.path, text)
        copies.put(copy)


def main() -> int:
    """Try a sample of mutants, or all. Return 1 if too few are noticed."""
    options = options_of_command_line()
    mutants = all_mutants(ROOT, options.parts)
    print(f"there are {len(mutants)} mutants; seed {options.seed}", flush=True)
    if options.count:
        draw = random.Random(options.seed)  # noqa: S311 - a repeatable sample
        mutants = draw.sample(mutants, min(options.count, len(mutants)))
    stages = STAGES[:1] if options.alone else STAGES
    words: Counter[str] = Counter()
    survivors: list[str] = []
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        tests = Tests(executed_by_tests(ROOT, copy_project(Path(folder) / "recorded"), 3 * options.jobs))
        its_copies = [Copy(Path(folder) / str(number)) for number in range(options.jobs)]
        copies: SimpleQueue[Copy] = SimpleQueue()
        for copy in its_copies:
            copies.put(copy)
        if not its_copies[0].passes(tests.quickest()):
            print("the tests fail on the project as it is", flush=True)
            return 2
        with ThreadPoolExecutor(options.jobs) as pool:
            tried = pool.map(lambda mutant: noticed_by(mutant, copies, tests, stages), mutants)
            for number, (mutant, word) in enumerate(zip(mutants, tried, strict=True), 1):
                shown = f"{word} {mutant.shown(tests.texts[mutant.path])}"
                print(f"{number}/{len(mutants)} {shown}", flush=True)
                words[word] += 1
                if word not in STAGES:
                    survivors.append(shown)
        for copy in its_copies:
            copy.close()
    noticed = sum(words[stage] for stage in STAGES)
    share = noticed / len(mutants) if mutants else 1.0
    told = ", ".join(f"{words[stage]} {stage}" for stage in STAGES)
    seconds = time.monotonic() - began
    print(
        f"{len(mutants)} mutants, {noticed} noticed ({share:.1%}; {told}), seed {options.seed}, {seconds:.0f} s"
    )
    print("\n".join(survivors))
    return 0 if share >= WANTED else 1


if __name__ == "__main__":
    sys.exit(main())
