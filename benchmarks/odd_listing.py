"""What it costs the client to read a listing of 500,000 contacts, and one of which a hundredth of the rows cannot be read.

Run with ``python -m benchmarks.odd_listing [CONTACTS]``. The aims: a few bytes of memory for each row, and about the same time
for a listing whose odd rows are skipped.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
import tracemalloc
from collections.abc import Iterator

from benchmarks.measuring import table
from coupontools import Coupontools, Listing
from coupontools.models import Contact

ROWS_A_PART = 1000
ODD_ONE_IN = 100
MEBIBYTE = 1 << 20
#: What is replaced in an odd row, and by what: no id, another encoding, a raw line break, a row that is a text.
ODDITIES = [
    (b'"con_', b'"odd_'),
    ("Zoë".encode(), b"Zo\xeb"),
    (b"Doe", b"D\noe"),
    (b'{"ID"', b'"row", {"ID"'),
]


def main(contacts: int = 500_000) -> None:
    """Measure a sound listing and an odd one."""
    for odd in (False, True):
        parts = list(_document(contacts, odd=odd))
        asyncio.run(_measure("a hundredth is odd" if odd else "sound", parts))


def _row(number: int, *, odd: bool) -> bytes:
    fields = {
        "ID": f"con_{number}",
        "phone": f"{447000000000 + number}",
        "first_name": "Zoë",
        "last_name": "Doe",
        "unsubscribed": "0",
    }
    row = json.dumps(fields, ensure_ascii=False).encode()
    if odd and number % ODD_ONE_IN == 0:
        row = row.replace(*ODDITIES[number // ODD_ONE_IN % len(ODDITIES)])
    return row


def _document(contacts: int, *, odd: bool) -> Iterator[bytes]:
    yield (
        b'{"status": {"status": "OK"}, "group_id": "gro_1", "amount_of_contacts": %d, "contact": [' % contacts
    )
    for start in range(0, contacts, ROWS_A_PART):
        numbers = range(start, min(contacts, start + ROWS_A_PART))
        yield (b"," if start else b"") + b",".join(_row(number, odd=odd) for number in numbers)
    yield b"]}"


async def _measure(what: str, parts: list[bytes]) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"gro_1")
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for part in parts:
            writer.write(b"%x\r\n%b\r\n" % (len(part), part))
            await writer.drain()
        writer.write(b"0\r\n\r\n")
        await reader.read()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        wall, cpu = time.perf_counter(), time.process_time()
        listing = await _read(url)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        # Read it again for the memory, since tracing takes CPU itself.
        tracemalloc.start()
        await _read(url)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    print(f"  {what}: {sum(map(len, parts)) / MEBIBYTE:.1f} MiB")
    table(
        [
            ("rows told, skipped", f"{listing.seen:,}, {listing.skipped:,}"),
            ("wall", f"{wall:.1f} s"),
            ("CPU, the server's included", f"{cpu:.1f} s"),
            ("most memory", f"{peak / MEBIBYTE:.1f} MiB"),
        ]
    )


async def _read(url: str) -> Listing[Contact]:
    async with Coupontools(base_url=url, client_id="id", client_secret="secret") as api:  # noqa: S106 - made up
        async with api.sms.list_contacts("gro_1") as listing:
            async for _ in listing:
                pass
        return listing


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
