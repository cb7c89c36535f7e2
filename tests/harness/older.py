"""An older commit of the project, checked out beside this one."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent


class NoHistory(Exception):  # noqa: N818 - says what is missing
    """This copy of the project does not have the commit."""


def check_out(commit: str, folder: Path) -> Path:
    """Put the project as it was at a commit into a folder; return the folder.

    Raises:
        NoHistory: git or the commit is not here.
    """
    if not shutil.which("git"):
        raise NoHistory("git is not installed, so there is no older commit to run")
    archive = folder / "project.tar"
    command = ["git", "-C", str(ROOT), "archive", f"--output={archive}", commit]
    git = subprocess.run(command, capture_output=True, text=True, check=False)
    if git.returncode:
        raise NoHistory(f"this copy of the project does not hold commit {commit[:7]}: {git.stderr.strip()}")
    subprocess.run(["tar", "-x", "-C", str(folder), "-f", str(archive)], check=True)
    archive.unlink()
    return folder
