"""How fast `import` is, and how much memory it takes; as a user runs it.

Run with ``python -m benchmarks.import_csv [ROWS]``.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import redis

from workers.embedded import EmbeddedRedis

HEADERS = {
    "sms": ("phone,first_name,last_name,customfield1", "+3247{:07}"),
    "email": ("email,first_name,last_name,custom1", "person{}@example.com"),
}


def main(rows: int = 100_000) -> None:
    """Import a file of each channel into a private Redis."""
    for channel, (header, identity) in HEADERS.items():
        with EmbeddedRedis() as server, tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "people.csv"
            with path.open("w") as file:
                file.write(f"{header}\n")
                file.writelines(f"{identity.format(n)},Ada {n},Lovelace,gold\n" for n in range(rows))
            arguments = [str(path), "--channel", channel, "--group-id", "gro_1", "--json"]
            with redis.Redis.from_url(server.url) as client:
                before = client.info("memory")["used_memory"]
                done = subprocess.run(
                    [sys.executable, "-m", "workers.cli", "import", *arguments],
                    env={**os.environ, "REDIS_URL": server.url},
                    stdout=subprocess.PIPE,
                    check=True,
                )
                grown = client.info("memory")["used_memory"] - before
        told = json.loads(done.stdout)
        print(
            f"import of {told['enqueued']:,} {channel} rows: {told['rows_per_second']:,.0f} rows/s, "
            f"at most {told['peak_memory_mib']:.0f} MiB; {grown / rows:.0f} bytes of Redis memory a waiting job"
        )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]))
