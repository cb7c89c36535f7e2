"""Which tests execute which lines: recorded once, and kept under ``build/`` as long as the code is the same.

A line of Lua is recorded through Redis's own log, which changes no key: a call of ``redis.log`` precedes each statement.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

FOLDERS = ("delivery", "workers/broker")
TESTS = (
    "tests/delivery/",
    "tests/actors/",
    "tests/workers/broker/",
    "tests/workers/test_memory.py",
    "tests/workers/cli/test_dead.py",
)
#: Whatever tests share, and the code: when one of these changes, everything is recorded anew.
CODE = (
    "actors/",
    "config/",
    "coupontools/",
    "delivery/",
    "sandbox/",
    "workers/",
    "tests/harness/",
    "tests/conftest.py",
)

_FUNCTION = re.compile(r"^(\s*(?:local )?function [\w.]+\([^)]*\))\s+(\S.*)$")
_STATEMENT = re.compile(
    r"^\s*(?!end\b)(?:local (?!function)|if |for |while |repeat\b|return\b|[\w.]+(?:\[.*\])?(?:, *[\w.\[\]# +]+)* = |[\w.]+\()"
)
_GOES_ON = re.compile(r"(?:,|=|\(|\{|\.\.|\band|\bor|\bnot|\+|-|<|>)$")


@dataclass
class Test:
    """What one test executes, and how long it takes."""

    name: str
    seconds: float
    processes: bool
    lines: frozenset[str] = field(repr=False)

    @property
    def file(self) -> str:
        """The file that contains the test."""
        return self.name.split("::")[0]


def without_strings(line: str) -> str:
    """Return a line of Lua with its strings blanked, column by column, and its comment cut off."""
    blank = re.sub(r"'(?:\\.|[^'\\])*'", lambda found: "'" + "_" * (len(found[0]) - 2) + "'", line)
    return blank.split("--")[0]


def recording_lua(name: str, text: str) -> tuple[str, list[int]]:
    """Return a script that logs each statement it comes to, and the numbers of the lines that it logs."""
    depth, goes_on, lines, logged = 0, False, [], []
    around: list[int] = []
    for number, line in enumerate(text.splitlines(), 1):
        code, new = without_strings(line).rstrip(), line
        note = f"redis.log(redis.LOG_WARNING, '@@{name}:{number}') "
        starts = depth == 0 and not goes_on
        if starts and (function := _FUNCTION.match(line)):
            new = f"{function[1]} {note}{function[2]}"
        elif starts and _STATEMENT.match(code):
            new = note + line
        if new is not line:
            logged.append(number)
        if around and depth == 0 and re.match(r"\s*end ?[,)}]", code):
            depth = around.pop()
        if code.strip():
            depth += code.count("(") + code.count("{") - code.count(")") - code.count("}")
            goes_on = bool(_GOES_ON.search(code))
        if depth > 0 and re.search(r"\bfunction\([^)]*\)$", code):
            # The statements of a function that is passed as an argument.
            around.append(depth)
            depth = 0
        lines.append(new)
    return "\n".join(lines) + "\n", logged


def tracked(root: Path) -> list[str]:
    """Return the files that git tracks."""
    listed = subprocess.run(
        ["git", "-C", str(root), "ls-files", "-z"],  # noqa: S607 - from the PATH
        capture_output=True,
        text=True,
        check=True,
    )
    return [name for name in listed.stdout.split("\0") if name and (root / name).is_file()]


def _digest(root: Path, names: Iterable[str]) -> str:
    digest = hashlib.sha256()
    for name in sorted(names):
        digest.update(name.encode() + b"\0" + (root / name).read_bytes() + b"\0")
    return digest.hexdigest()


def executed_by_tests(root: Path, copy: Path, side_by_side: int) -> list[Test]:
    """Return what each test executes. Files not recorded yet are run in this copy, whose scripts are changed for it."""
    kept_in = root / "build" / "mutants" / "executed.json"
    names = tracked(root)
    code = _digest(root, (name for name in names if name.startswith(CODE) or name.endswith("conftest.py")))
    kept: dict[str, Any] = json.loads(kept_in.read_text(encoding="utf-8")) if kept_in.exists() else {}
    files = kept["files"] if kept.get("code") == code else {}
    digests = {
        name: _digest(root, [name])
        for name in names
        if name.startswith(TESTS) and Path(name).name.startswith("test_")
    }
    files = {name: its for name, its in files.items() if digests.get(name) == its["digest"]}
    if missing := sorted(set(digests) - set(files)):
        print(f"recording what the tests of {len(missing)} files execute", flush=True)
        for name in missing:
            files[name] = {"digest": digests[name], "tests": []}
        for told in _record(copy, missing, side_by_side):
            files[told["test"].split("::")[0]]["tests"].append(told)
        kept_in.parent.mkdir(parents=True, exist_ok=True)
        kept_in.write_text(json.dumps({"code": code, "files": files}), encoding="utf-8")
    return [
        Test(told["test"], told["seconds"], told["processes"], frozenset(told["lines"]))
        for its in files.values()
        for told in its["tests"]
    ]


def _record(copy: Path, files: list[str], side_by_side: int) -> list[dict[str, Any]]:
    for folder in FOLDERS:
        for file in (copy / folder).rglob("*.lua"):
            name = str(file.relative_to(copy))
            file.write_text(recording_lua(name, file.read_text(encoding="utf-8"))[0], encoding="utf-8")
    with tempfile.TemporaryDirectory(prefix="executed-") as out:
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(copy), str(Path(__file__).parent)]),
            "PYTHONDONTWRITEBYTECODE": "1",
            "MUTANTS_COPY": str(copy),
            "MUTANTS_OUT": out,
        }
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "recording_plugin"]
        subprocess.run(
            [*command, "-n", str(side_by_side), *files],
            cwd=copy,
            env=environment,
            stdout=subprocess.DEVNULL if "MUTANTS_TALK" not in os.environ else None,
            check=False,
        )
        return [
            json.loads(line)
            for told in Path(out).glob("*/tests.jsonl")
            for line in told.read_text(encoding="utf-8").splitlines()
        ]
