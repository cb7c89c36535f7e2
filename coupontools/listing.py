"""A listing as a stream: items come as they arrive, and an error is raised at the latest after the last one."""

import asyncio
from collections import deque
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from coupontools import dialect
from coupontools.calls import ANSWER_BYTES, Call, Caller
from coupontools.dialect import AboutAnotherError, Listed, UnreadableError
from coupontools.distinct import DistinctIds
from coupontools.endpoints import Endpoint
from coupontools.envelope import Reply, judge, without_envelope
from coupontools.errors import MayHaveHappened
from coupontools.exchange import Answer
from coupontools.extent import is_all_and_of_now
from coupontools.listing_parser import SLICE_BYTES, ListingParser

LISTING_BYTES = 512 << 20
"""The longest listing that is read, decompressed: some four million contacts."""

T = TypeVar("T")


class Listing(Generic[T]):
    """The groups of a channel or the contacts of a group, to be used once: `async with`, then `async for`.

    Iterating raises a `CoupontoolsError` if the answer turns out to be an error, cut off, or no listing, and
    many items may have come before that. So act on what was listed only after the iteration has ended without
    an error.
    """

    def __init__(
        self,
        caller: Caller,
        endpoint: Endpoint,
        parameters: Mapping[str, str],
        call: Call,
        listed: Listed[T],
        *,
        group_id: str | None = None,
    ) -> None:
        self._caller = caller
        self._endpoint = endpoint
        self._parameters = parameters
        self._call = call
        self._listed = listed
        self._parser = ListingParser(listed.array, listed.fields)
        self._asked_group_id = group_id
        self._answer: Answer
        self._reply: Reply
        self._limit = 0
        self._read = 0
        self._pieces: deque[bytes] = deque()
        self._items: deque[T] = deque()
        self._over = False
        self._judged = False
        self._ids = DistinctIds()
        self.seen = 0
        """How many items have been given out."""
        self.skipped = 0
        """How many rows could not be read, and were not given out; their groups or contacts exist all the same."""
        self.distinct = 0
        """How many different ids the items have, once all were read."""

    @property
    def names_group(self) -> bool:
        """Whether the answer names the group that was asked for; True for a listing of groups."""
        told = self._parser.top.get("group_id")
        named = dialect.identifier("gro_", told) is not None
        return self._asked_group_id is None or (
            named and not dialect.is_another_group(told, self._asked_group_id)
        )

    @property
    def group_name(self) -> str | None:
        """The group's name, once that part of the document has been read."""
        return dialect.text(self._parser.top.get("group_name"))

    @property
    def amount(self) -> int | None:
        """How many items the API says there are, once that part of the document has been read."""
        return dialect.count(self._parser.top.get(self._listed.amount))

    @property
    def complete(self) -> bool:
        """Whether the listing has every item that the API counts, and is of the group that was asked for.

        False if the API cuts the listing short or pages it (the vendor documents no paging) or lists one row twice in
        place of another, if a row or the amount cannot be read, or if a cache answers in the API's place. Then an item
        that is not listed may exist all the same.
        """
        read = self._over and self._judged and not self._items and not self.skipped
        counted = read and self.names_group and self.amount is not None and self.distinct >= self.amount
        told = self._parser.inner | self._parser.top
        return counted and is_all_and_of_now(self._answer.status, self._answer.headers, told, self.distinct)

    async def __aenter__(self) -> Self:
        """Send the call and wait for the answer's head; raises NotSent or MayHaveHappened. Leaving drops the rest that was not read."""
        self._answer = await self._caller.stream(self._endpoint, self._parameters, self._call)
        self._reply = self._caller.reply(self._answer, self._endpoint)
        self._limit = LISTING_BYTES if 200 <= self._answer.status <= 299 else ANSWER_BYTES
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._answer.close()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        while not self._items:
            if self._over:
                raise StopAsyncIteration
            try:
                await self._advance()
            except BaseException:
                self._over = True
                self._judged = False
                raise
        self.seen += 1
        return self._items.popleft()

    async def _advance(self) -> None:
        if not self._pieces and not await self._receive():
            await self._finish()
            return
        try:
            found = self._parser.feed(self._pieces.popleft())
            if self._parser.envelope_read and not self._judged:
                judge(self._reply, self._parser.envelope)
                self._judged = True
            if dialect.is_another_group(self._parser.top.get("group_id"), self._asked_group_id):
                raise AboutAnotherError("the listing is of another group")
        except UnreadableError as failure:
            self._answer.drop_connection()
            broken = not isinstance(failure, AboutAnotherError)
            raise without_envelope(self._reply, str(failure), broken=broken) from None
        self._take(found)
        # Data that has already arrived is read without waiting: let the other jobs of this loop run.
        await asyncio.sleep(0)

    def _take(self, rows: Iterable[dict[str, Any]]) -> None:
        for fields in rows:
            try:
                item = self._listed.item(fields)
            except UnreadableError:
                self.skipped += 1
            else:
                self._ids.add(self._listed.item_id(item))
                self._items.append(item)

    async def _receive(self) -> bool:
        chunk = await anext(self._answer.chunks, None)
        if chunk is None:
            return False
        self._read += len(chunk)
        if self._read > self._limit:
            raise MayHaveHappened(
                f"the answer is longer than {self._limit} bytes", status=self._answer.status
            )
        self._pieces.extend(chunk[at : at + SLICE_BYTES] for at in range(0, len(chunk), SLICE_BYTES))
        return True

    async def _finish(self) -> None:
        failure, broken = None, False
        try:
            self._parser.finish()
        except UnreadableError as unreadable:
            failure, broken = str(unreadable) if self._read else "the answer is empty", True
        if failure is None:
            judge(self._reply, self._parser.envelope)
            self._judged = self._over = True
            if not self._parser.has_list and self.amount != 0:
                failure = "the answer holds no list"
        if failure is not None:
            self._answer.drop_connection()
            raise without_envelope(self._reply, failure, broken=broken)
        for count in self._ids.counts():
            self.distinct += count
            await asyncio.sleep(0)
