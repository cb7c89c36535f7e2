"""Read the answers to the jobs in a file of message ids, as one process of a consumer group.

python read.py PROCESS FILE           until every job is answered
python read.py PROCESS FILE --crash   and die between doing the work of the first answer and acknowledging it
"""

import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import redis

STREAM, GROUP = "coupontools:events", "example-python"
#: What one process has not acknowledged after so many milliseconds, another takes over. Choose more than your slowest event takes.
IDLE = 2_000
#: How long an event's id is remembered, in seconds: longer than anybody could take it over.
REMEMBERED = 7 * 86_400

client = redis.Redis.from_url(os.environ["REDIS_URL"], decode_responses=True)


def entries(process: str) -> Iterator[tuple[str, dict]]:
    """Return what others left unacknowledged, then what is new, each with its event."""
    _, left, *_ = client.xautoclaim(STREAM, GROUP, process, IDLE, "0-0", count=100)
    new = client.xreadgroup(GROUP, process, {STREAM: ">"}, count=100, block=1_000)
    for entry, fields in left + (new[0][1] if new else []):
        # The stream's cap may have cut an entry off that was pending: Redis tells it without its fields.
        if fields:
            yield entry, json.loads(fields["event"])


def is_new(event: dict) -> bool:
    """Do the work, unless it was done before, and return whether it was new.

    Here the work is to keep the event. Where yours is a change in a database, insert the event's id there in the same transaction.
    """
    return bool(client.set(f"{GROUP}:event:{event['id']}", json.dumps(event), nx=True, ex=REMEMBERED))


def main(process: str, file: str, *flags: str) -> None:
    """Read until every job is answered; a listing is when all of its pages have come."""
    waiting: dict[str, set[str]] = {message_id: set() for message_id in Path(file).read_text().split()}
    give_up = time.monotonic() + 45
    while waiting:
        if time.monotonic() > give_up:
            sys.exit(f"not answered within 45 s: {', '.join(waiting)}; does a worker run?")
        for entry, event in entries(process):
            message_id, _, page = event["id"].partition("/")
            if message_id in waiting:
                told = "new" if is_new(event) else "handled before, dropped"
                print(f"{process}: {event['type']} {event.get('subject', '')} ({told})", flush=True)
                if "--crash" in flags:
                    os.kill(os.getpid(), signal.SIGKILL)
                waiting[message_id].add(page)
                if len(waiting[message_id]) == event["data"].get("pages", 1):
                    del waiting[message_id]
            client.xack(STREAM, GROUP, entry)


main(*sys.argv[1:])
