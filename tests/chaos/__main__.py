"""Break things for a while, all at once; show an account at the end, and exit 1 if anything was lost or doubled."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from random import Random

from sandbox import Sandbox
from tests.chaos.account import Account
from tests.chaos.blows import OLDER, Blows
from tests.chaos.load import Load
from tests.chaos.standby import Standby
from tests.harness import House
from tests.harness.older import NoHistory, check_out
from workers.embedded import EmbeddedRedis

#: If no job is answered for this long after everything is mended, the jobs that are left count as stranded.
PATIENCE_SECONDS = 120.0
#: How often the progress is written where there is no terminal, in seconds.
LINE_SECONDS = 30.0
_told = 0.0


def main() -> int:
    """Run once. Return 1 if the account has faults."""
    parser = argparse.ArgumentParser(prog="make chaos", description=sys.modules[__name__].__doc__)
    parser.add_argument(
        "--seed", type=int, default=None, help="draws the same jobs and blows again (default: of the clock)"
    )
    parser.add_argument(
        "--seconds", type=float, default=120, help="how long things are broken (default: 120)"
    )
    parser.add_argument("--per-second", type=float, default=40, help="jobs enqueued a second (default: 40)")
    options = parser.parse_args()
    seed = int(time.time()) if options.seed is None else options.seed
    print(f"seed {seed}, {options.seconds:g} s, {options.per_second:g} jobs a second", flush=True)
    with (
        EmbeddedRedis() as server,
        Standby(server) as standby,
        Sandbox() as sandbox,
        House(server, sandbox) as house,
        tempfile.TemporaryDirectory(prefix="project-") as folder,
    ):
        try:
            older = check_out(OLDER, Path(folder))
        except NoHistory as reason:
            print(f"without an older version: {reason}", flush=True)
            older = None
        house.sandbox.settings(email_listing=True, latency_ms=30)
        load = Load(house, Random(f"{seed} load"), options.per_second, copies=1)  # noqa: S311 - a repeatable run, no secrets
        blows = Blows(house, Random(f"{seed} blows"), load, standby, older)  # noqa: S311
        account = run(house, load, blows, options.seconds)
        print(account)
        if account.faults:
            print("\n".join(account.faults[:20]))
            print(f"what is needed to look into it is kept in {keep(house, account, seed)}")
    return 1 if account.faults else 0


def run(house: House, load: Load, blows: Blows, seconds: float) -> Account:
    """Break things for ``seconds``, mend everything, wait for the jobs that are left, and draw up the account."""
    load.start()
    struck: Counter[str] = Counter()
    end = time.monotonic() + seconds
    try:
        while time.monotonic() < end:
            blow = blows.draw()
            struck[blow.__name__] += 1
            live(
                f"{struck.total()} blows, {len(load.sent)} jobs, {end - time.monotonic():.0f} s left: {blow.__name__}"
            )
            blow()
    finally:
        load.stop()
        blows.close()
    live("waiting for what is left\n")
    wait_for_the_rest(house, set(load.sent))
    return Account(house, load, struck)


def wait_for_the_rest(house: House, sent: set[str]) -> None:
    """Wait until every job is answered, or until none was answered for ``PATIENCE_SECONDS``."""
    seen, since = 0, time.monotonic()
    while time.monotonic() - since < PATIENCE_SECONDS:
        answered = {event["id"].split("/")[0] for event in house.events()}
        if sent <= answered and not house.redis.exists(*(f"dramatiq:{lane}.msgs" for lane in Account.LANES)):
            return
        if len(answered) > seen:
            seen, since = len(answered), time.monotonic()
        time.sleep(0.5)


def live(line: str) -> None:
    """Show the progress: on a terminal in one line that is overwritten, elsewhere in a line every ``LINE_SECONDS``."""
    global _told  # noqa: PLW0603 - when the last line was written
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\x1b[K{line}")
    elif line.endswith("\n") or time.monotonic() - _told > LINE_SECONDS:
        _told = time.monotonic()
        sys.stderr.write(f"{line.rstrip()}\n")
    sys.stderr.flush()


def keep(house: House, account: Account, seed: int) -> Path:
    """Copy logs, events, calls and Redis's data to a folder below this one."""
    folder = Path(f"chaos-{seed}-{time.strftime('%H%M%S')}").resolve()
    folder.mkdir()
    for number, worker in enumerate(house.workers):
        (folder / f"worker-{number}.log").write_text(worker.log_text, encoding="utf-8")
    for name, content in (
        ("events", house.events()),
        ("calls", house.sandbox.requests()),
        ("state", house.sandbox.state()),
    ):
        (folder / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")
    (folder / "faults.txt").write_text("\n".join(account.faults), encoding="utf-8")
    shutil.copytree(house.server.folder, folder / "redis")
    return folder


if __name__ == "__main__":
    sys.exit(main())
