"""Makes requirements/*.lock from pyproject.toml, or (`--check`) says, without a network, whether they are up to date.

Each lock file names every package of one use, with its version and hashes, for Python 3.11 to 3.14 on every
system. Its first line holds a hash of the lines of pyproject.toml it was made from. It contains no
registry's address: pip takes the one that its user has configured.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "requirements"
# The versions in earlier files bind the later ones.
LOCKS = ("build", "runtime", "dev", "embedded")
OLDEST_PYTHON = "3.11"
HEADER = "# Made by `make lock` from pyproject.toml; inputs sha256:{}\n"
ADDRESS = re.compile(
    r"\w+://|^\s*(?:-i|-f|--(?:index-url|extra-index-url|find-links|trusted-host))\b", re.MULTILINE
)


def requirements(project: dict[str, Any], lock: str) -> list[str]:
    """Return the requirements in pyproject.toml that the lock file named `lock` is made from."""
    runtime: list[str] = project["project"]["dependencies"]
    chosen: list[str] = {
        "build": project["build-system"]["requires"],
        "runtime": runtime,
        "dev": runtime + project["dependency-groups"]["dev"],
        "embedded": project["project"]["optional-dependencies"]["embedded"],
    }[lock]
    return sorted(chosen)


def fingerprint(project: dict[str, Any], lock: str) -> str:
    """Return a hash of everything that decides the contents of a lock file, except what was published meanwhile."""
    inputs = [project["project"]["requires-python"], requirements(project, lock)]
    return hashlib.sha256(json.dumps(inputs).encode()).hexdigest()


def problems(project: dict[str, Any]) -> list[str]:
    """Return one sentence for each lock file that is missing, out of date, or names a registry."""
    found = []
    for lock in LOCKS:
        path = FOLDER / f"{lock}.lock"
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        if not text.startswith(HEADER.format(fingerprint(project, lock))):
            found.append(f"requirements/{path.name} does not match pyproject.toml; run make lock")
        if ADDRESS.search(text):
            found.append(f"requirements/{path.name} holds an address; run make lock")
    return found


def compile_lock(project: dict[str, Any], lock: str, uv: str) -> None:
    """Resolve one lock file anew and write it. Raises CalledProcessError if it cannot be resolved."""
    bound = LOCKS[: LOCKS.index(lock)]
    done = subprocess.run(
        [
            uv, "pip", "compile", "-", "--quiet", "--universal", "--python-version", OLDEST_PYTHON,
            "--generate-hashes", "--no-emit-index-url", "--no-header", "--no-annotate",
            *(word for name in bound for word in ("--constraints", f"requirements/{name}.lock")),
        ],
        input="\n".join(requirements(project, lock)),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        cwd=ROOT,
    )  # fmt: skip
    path = FOLDER / f"{lock}.lock"
    path.write_text(HEADER.format(fingerprint(project, lock)) + done.stdout, encoding="utf-8")


def main() -> int:
    """Run the command line. Return 0 if all is done or up to date, else 1."""
    parser = argparse.ArgumentParser(description="Make requirements/*.lock from pyproject.toml.")
    parser.add_argument("--check", action="store_true", help="only tell whether they are up to date")
    options = parser.parse_args()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    if not options.check:
        uv = shutil.which("uv", path=str(Path(sys.executable).parent)) or shutil.which("uv")
        if uv is None:
            print(
                "lock: uv is not installed; `.venv/bin/pip install uv`, then run make lock again",
                file=sys.stderr,
            )
            return 1
        FOLDER.mkdir(exist_ok=True)
        for lock in LOCKS:
            compile_lock(project, lock, uv)
    found = problems(project)
    for sentence in found:
        print(f"lock: {sentence}", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
