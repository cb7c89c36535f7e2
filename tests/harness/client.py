"""What tests of the client share: the documents of listings, and the errors of calls that must fail."""

from __future__ import annotations

import json
import socket
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from coupontools import CoupontoolsError, Listing


def contact(number: int) -> dict[str, Any]:
    return {
        "ID": f"con_{number}",
        "phone": f"{49_150_000_0000 + number}",
        "first_name": "Zoë",
        "last_name": "Doe",
        "unsubscribed": str(number % 2),
    }


def pages(amount: int, size: int = 500) -> Iterator[bytes]:
    """Yield a listing's document in pieces, with its status at the end."""
    yield (
        json.dumps({"group_id": "gro_1", "amount_of_contacts": str(amount)}).encode()[:-1] + b', "contact": ['
    )
    for start in range(0, amount, size):
        numbers = range(start, min(amount, start + size))
        text = ",".join(json.dumps(contact(number), ensure_ascii=False) for number in numbers)
        yield ("," if start else "").encode() + text.encode()
    yield b'], "group_name": "big", "status": {"status": "OK"}}'


async def read(listing: Listing[Any]) -> list[Any]:
    async with listing:
        return [item async for item in listing]


async def fails_after(listing: Listing[Any], count: int | None = None) -> CoupontoolsError:
    seen = []
    with pytest.raises(CoupontoolsError) as raised:  # noqa: PT012 - any step of a listing may fail
        async with listing:
            async for item in listing:
                seen.append(item)  # noqa: PERF401 - what came before the error is looked at
    assert count is None or len(seen) == count
    assert not listing.complete
    return raised.value


async def failure(call: Awaitable[Any]) -> CoupontoolsError:
    with pytest.raises(CoupontoolsError) as raised:
        await call
    # The library's own exceptions hold request headers; none of them may be attached to ours.
    assert raised.value.__cause__ is None
    assert raised.value.__context__ is None
    return raised.value


@contextmanager
def silent_listener(*, backlog: int = 16) -> Iterator[socket.socket]:
    """A socket that takes connections and never reads or answers."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(backlog)
        yield listener


def address(listener: socket.socket, scheme: str = "http") -> str:
    return f"{scheme}://127.0.0.1:{listener.getsockname()[1]}"
