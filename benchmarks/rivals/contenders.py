"""Who takes part: how each is started, how its jobs are enqueued, and the environment that it runs in."""

from __future__ import annotations

import subprocess
import sys
import venv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import redis

from benchmarks.measuring import fill

__all__ = ["CONTENDERS", "OURS", "Contender"]

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
ENVIRONMENTS = ROOT / "build" / "rivals"
OURS = "this worker"


@dataclass(frozen=True, slots=True)
class Contender:
    """One way to do the job. ``command`` takes how many jobs may be in flight."""

    name: str
    job: str
    packages: str
    command: Callable[[int], list[str]]

    def environment(self) -> Path:
        """Return the folder of programs of its environment, made anew if its list of packages has changed."""
        wanted = (HERE / f"{self.packages}.txt").read_text(encoding="utf-8")
        folder = ENVIRONMENTS / self.packages
        stamp = folder / "made-from.txt"
        if not stamp.exists() or stamp.read_text(encoding="utf-8") != wanted:
            venv.create(folder, clear=True, with_pip=True)
            install = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "-r"]
            subprocess.run([*install, str(HERE / f"{self.packages}.txt")], check=True)
            stamp.write_text(wanted, encoding="utf-8")
        return folder / "bin"

    def start(self, in_flight: int) -> list[str]:
        """Return the command of its worker."""
        program, *rest = self.command(in_flight)
        return [str(self.environment() / program), *rest]

    def enqueue(
        self, client: redis.Redis, count: int, settings: dict[str, str], *, anew: bool = False
    ) -> None:
        """Put ``count`` jobs on its queue; with ``anew``, other jobs than the first time."""
        del client, anew
        command = [str(self.environment() / "python"), f"{self.job}.py", str(count)]
        subprocess.run(command, check=True, cwd=HERE, env=settings)


class Ours(Contender):
    """This worker: every guarantee, and a JSON line for each job."""

    def start(self, in_flight: int) -> list[str]:
        """Return the command of our worker."""
        return [
            sys.executable,
            "-m",
            "workers.cli",
            "run",
            "--processes",
            "1",
            "--concurrency",
            str(in_flight),
        ]

    def enqueue(
        self, client: redis.Redis, count: int, settings: dict[str, str], *, anew: bool = False
    ) -> None:
        """Put ``count`` new contacts on the queue."""
        del settings
        fill(client, "gro_119251", count, prefix=int(anew))


CONTENDERS = (
    Ours(OURS, "", "", lambda _: []),
    Contender(
        "taskiq, aiohttp, uvloop",
        "taskiq_job",
        "taskiq_uvloop",
        lambda n: ["taskiq", "worker", "taskiq_job:broker", "--workers", "1", "--max-async-tasks", str(n)],
    ),
    Contender(
        "taskiq, aiohttp",
        "taskiq_job",
        "taskiq",
        lambda n: ["taskiq", "worker", "taskiq_job:broker", "--workers", "1", "--max-async-tasks", str(n)],
    ),
    Contender(
        "Dramatiq, httpx, threads",
        "dramatiq_job",
        "dramatiq",
        lambda n: ["dramatiq", "dramatiq_job", "--processes", "1", "--threads", str(n)],
    ),
    Contender(
        "Celery, httpx, threads",
        "celery_job",
        "celery",
        lambda n: ["celery", "-A", "celery_job", "worker", "--pool", "threads", "--concurrency", str(n),
                   "--loglevel", "WARNING", "--without-gossip", "--without-mingle"],
    ),
)  # fmt: skip
