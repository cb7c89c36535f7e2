"""Change one thing at a time in delivery, the broker and their Lua scripts, and see whether a test notices.

Each mutant is a line with one operator, number, condition or command changed, in a copy of the project. First the tests that start no
process run on it, then those that do, until one fails. A mutant that no test notices is shown with its line: either a test is missing, or
the change makes no difference, which somebody has to say. Exit 1 if fewer than nine in ten were noticed.
"""

from __future__ import annotations

import argparse
import ast
import itertools
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
WHERE = ("delivery", "workers/broker")
TESTS = {
    "alone": ["tests/delivery", "tests/actors", "tests/workers/broker"],
    "processes": ["tests/delivery", "tests/workers/broker", "tests/workers/test_memory.py"],
}
#: A mutant that loops for ever is noticed, too: by the time it takes, in seconds.
TOO_LONG = {"alone": 400.0, "processes": 1500.0}
WANTED = 0.9
COMPARISONS: dict[type[ast.cmpop], tuple[str, str]] = {
    ast.Lt: ("<", "<="),
    ast.LtE: ("<=", "<"),
    ast.Gt: (">", ">="),
    ast.GtE: (">=", ">"),
    ast.Eq: ("==", "!="),
    ast.NotEq: ("!=", "=="),
    ast.In: ("in", "not in"),
    ast.NotIn: ("not in", "in"),
    ast.Is: ("is", "is not"),
    ast.IsNot: ("is not", "is"),
}
ARITHMETIC: dict[type[ast.operator], tuple[str, str]] = {
    ast.Add: ("+", "-"),
    ast.Sub: ("-", "+"),
    ast.Mult: ("*", "/"),
    ast.Div: ("/", "*"),
}
LUA = (
    (r"==", "~="), (r"~=", "=="), (r"<=", "<"), (r">=", ">"), (r"(?<![<>=~])<(?!=)", "<="), (r"(?<![<>=~])>(?!=)", ">="),
    (r"\band\b", "or"), (r"\bor\b", "and"), (r"\bnot ", ""), (r" \+ ", " - "), (r" - ", " + "), (r"\btrue\b", "false"),
    (r"\bfalse\b", "true"),
)  # fmt: skip
NUMBER = re.compile(r"(?<![\w.'\[])\d+(?![\w.'\]])")
#: A command that stands in a line of its own.
COMMAND = re.compile(r"^\s*redis\.call\(.*\)\s*$")


@dataclass(frozen=True)
class Mutant:
    """One change."""

    path: str
    line: int
    start: int
    end: int
    new: str

    def applied(self, text: str) -> str:
        """Return the text with the change made."""
        lines = text.splitlines(keepends=True)
        old = lines[self.line - 1]
        lines[self.line - 1] = old[: self.start] + self.new + old[self.end :]
        return "".join(lines)

    def shown(self, text: str) -> str:
        """Return the place, the line as it is and as it becomes."""
        old = text.splitlines()[self.line - 1]
        new = old[: self.start] + self.new + old[self.end :]
        return f"{self.path}:{self.line}\n    - {old.strip()}\n    + {new.strip() or '(nothing)'}"


def python_mutants(path: str, text: str) -> Iterator[Mutant]:
    """Yield every change of a Python file."""
    lines = text.splitlines()
    for node in ast.walk(ast.parse(text)):
        for first, last, new in (*_operators(node, lines), *_wholes(node)):
            if first.line == last.line:
                yield Mutant(path, first.line, first.column, last.column, new)


class Place(NamedTuple):
    """A line, and a column in it."""

    line: int
    column: int


def _start(node: ast.expr | ast.stmt) -> Place:
    return Place(node.lineno, node.col_offset)


def _end(node: ast.expr | ast.stmt) -> Place:
    return Place(node.end_lineno or 0, node.end_col_offset or 0)


def _operators(node: ast.AST, lines: list[str]) -> Iterator[tuple[Place, Place, str]]:
    """Yield other operators in the place of this node's."""
    swaps: list[tuple[ast.expr, ast.expr, tuple[str, str]]] = []
    match node:
        case ast.Compare(left=left, ops=[op], comparators=[right]) if type(op) in COMPARISONS:
            swaps = [(left, right, COMPARISONS[type(op)])]
        case ast.BinOp(left=left, op=op, right=right) if type(op) in ARITHMETIC:
            swaps = [(left, right, ARITHMETIC[type(op)])]
        case ast.BoolOp(op=op, values=values):
            swap = (" and ", " or ") if isinstance(op, ast.And) else (" or ", " and ")
            swaps = [(left, right, swap) for left, right in itertools.pairwise(values)]
    for left, right, (old, new) in swaps:
        (line, column), end = _end(left), _start(right)
        at = lines[line - 1].find(old, column, end.column) if line == end.line else -1
        if at >= 0:
            yield Place(line, at), Place(line, at + len(old)), new


def _wholes(node: ast.AST) -> Iterator[tuple[Place, Place, str]]:
    """Yield what may stand in the place of this node: another value, or nothing."""
    match node:
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            yield _start(node), _start(operand), ""
        case ast.Constant(value=bool() as value):
            yield _start(node), _end(node), str(not value)
        case ast.Constant(value=int() as value):
            yield _start(node), _end(node), str(value + 1)
        # What a line of the log says is not what delivery promises.
        case ast.Expr(value=ast.Call(func=func)) if not ast.unparse(func).startswith("log."):
            yield _start(node), _end(node), "pass"
        case ast.Return(value=ast.expr() as value) if ast.unparse(value) != "None":
            yield _start(value), _end(value), "None"


def lua_mutants(path: str, text: str) -> Iterator[Mutant]:
    """Yield every change of a Lua file."""
    for number, whole in enumerate(text.splitlines(), 1):
        line = whole.split("--")[0]
        if COMMAND.match(line) and line.count("(") == line.count(")"):
            yield Mutant(path, number, 0, len(line), "")
        for pattern, new in LUA:
            for found in re.finditer(pattern, line):
                yield Mutant(path, number, found.start(), found.end(), new)
        for found in NUMBER.finditer(line):
            yield Mutant(path, number, found.start(), found.end(), str(int(found[0]) + 1))


def all_mutants(parts: list[str]) -> list[Mutant]:
    """Return every change there is in the files whose path holds one of the parts, or in all files."""
    found: list[Mutant] = []
    for folder in WHERE:
        for file in sorted((ROOT / folder).rglob("*")):
            path = str(file.relative_to(ROOT))
            if file.suffix in {".py", ".lua"} and (not parts or any(part in path for part in parts)):
                kind = python_mutants if file.suffix == ".py" else lua_mutants
                found += kind(path, file.read_text(encoding="utf-8"))
    return found


def copy_project(folder: Path) -> None:
    """Copy what git knows."""
    listed = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", "-z"],  # noqa: S607 - from the PATH
        capture_output=True,
        text=True,
        check=True,
    )
    for name in filter(None, listed.stdout.split("\0")):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, folder / name)


def passes(copy: Path, path: str, stage: str) -> bool:
    """Say whether all tests of a stage pass in this copy, in time."""
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-x",
        "-q",
        "-p",
        "no:cacheprovider",
        "-p",
        "mutants_plugin",
        *TESTS[stage],
    ]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(copy), str(copy / "scripts")]),
        "PYTHONDONTWRITEBYTECODE": "1",
        "MUTANT_STAGE": stage,
        "MUTANT_FILE": path,
    }
    with subprocess.Popen(
        command,
        cwd=copy,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as process:
        try:
            return process.wait(timeout=TOO_LONG[stage]) == 0
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            return False


def main() -> int:
    """Try a sample of mutants, or all. Return 1 if too few are noticed."""
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
    options = parser.parse_args()
    mutants = all_mutants(options.parts)
    print(f"{len(mutants)} mutants there are; seed {options.seed}", flush=True)
    if options.count:
        draw = random.Random(options.seed)  # noqa: S311 - a repeatable sample
        mutants = draw.sample(mutants, min(options.count, len(mutants)))
    stages = ["alone"] if options.alone else list(TESTS)
    survivors: list[str] = []
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        copies: SimpleQueue[Path] = SimpleQueue()
        for number in range(options.jobs):
            copy = Path(folder) / str(number)
            copy_project(copy)
            copies.put(copy)

        def noticed_by(mutant: Mutant) -> str | None:
            copy = copies.get()
            file = copy / mutant.path
            text = file.read_text(encoding="utf-8")
            file.write_text(mutant.applied(text), encoding="utf-8")
            try:
                return next((stage for stage in stages if not passes(copy, mutant.path, stage)), None)
            finally:
                file.write_text(text, encoding="utf-8")
                copies.put(copy)

        copy = copies.get()
        began = time.monotonic()
        if not all(passes(copy, "", stage) for stage in stages):
            print("the tests fail on the project as it is", flush=True)
            return 2
        print(f"the tests take {time.monotonic() - began:.0f} s where nothing is changed", flush=True)
        copies.put(copy)
        with ThreadPoolExecutor(options.jobs) as pool:
            for number, (mutant, stage) in enumerate(
                zip(mutants, pool.map(noticed_by, mutants), strict=True), 1
            ):
                shown = mutant.shown((ROOT / mutant.path).read_text(encoding="utf-8"))
                print(f"{number}/{len(mutants)} {stage or 'SURVIVED'} {shown}", flush=True)
                if stage is None:
                    survivors.append(shown)
    noticed = len(mutants) - len(survivors)
    share = noticed / len(mutants) if mutants else 1.0
    print(
        f"{len(mutants)} mutants, {noticed} noticed ({share:.0%}), seed {options.seed}, {time.monotonic() - began:.0f} s"
    )
    print("\n".join(survivors))
    return 0 if share >= WANTED else 1


if __name__ == "__main__":
    sys.exit(main())
