"""One call as it goes out and as it is answered, whichever HTTP library carries it."""

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field

from coupontools.errors import MayHaveHappened


@dataclass(slots=True, kw_only=True)
class Exchange:
    """One call's limits and, while it runs, how far it has come. All times in seconds; None is no limit."""

    connect_timeout: float | None
    total_timeout: float | None = None
    idle_timeout: float | None = None
    before_send: Callable[[], None] | None = None
    begun: bool = False
    """True from just before the first byte of the request is written."""
    refusal: BaseException | None = field(default=None, repr=False)
    """What `before_send` raised."""

    def begin(self) -> None:
        """Ask `before_send`, then count the request as begun."""
        if self.before_send is not None:
            try:
                self.before_send()
            except BaseException as refusal:
                self.refusal = refusal
                raise
        self.begun = True


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer whose document is still to be read."""

    status: int
    headers: Mapping[str, str]
    chunks: AsyncIterator[bytes]
    drop_connection: Callable[[], None]
    """Close the connection, even if its answer was read to the end: this answer is another call's, and so may be the next one."""
    is_left_over: Callable[[bytes, object], bool]
    """Did the connection bring this very document before, as the answer to a call about something else? If not, it is remembered."""
    close: Callable[[], None]
    """Drop the rest of the answer that was not read."""

    async def read(self, limit: int) -> bytes:
        """Return the whole document; raises MayHaveHappened if it breaks off or exceeds `limit` bytes."""
        document = bytearray()
        async for chunk in self.chunks:
            document += chunk
            if len(document) > limit:
                raise MayHaveHappened(f"the answer is longer than {limit} bytes", status=self.status)
        return bytes(document)
