"""A listing's document, read piece by piece in bounded memory."""

from collections.abc import Iterable
from typing import Any

import ijson

from coupontools.dialect import UnreadableError

SLICE_BYTES = 1 << 14
"""The most that is parsed at once, about a millisecond's work."""

# The parser holds a text or number whole. One this long is no part of a listing: refuse it.
_QUIET_BYTES = 1 << 20
_DEEPEST = 64
_MOST_VALUES = 64
_ENVELOPE_EVENTS = 1000
_OPENING = frozenset({"start_map", "start_array"})
_CLOSING = frozenset({"end_map", "end_array"})
_BOM = b"\xef\xbb\xbf"


class ListingParser:
    """Takes the document as bytes come and gives out the items of its array.

    `envelope` is the document's `status` once that has been read to its end, wherever it stands; `top` holds
    the plain values beside the array; `has_array` whether the array was there. Of items only `fields` are
    kept.
    """

    def __init__(self, array: str, fields: frozenset[str]) -> None:
        self.envelope: object = None
        self.envelope_read = False
        self.top: dict[str, Any] = {}
        self.has_array = False
        self._array = array
        self._fields = fields
        self._events: list[tuple[str, Any]] = ijson.sendable_list()
        self._parser = ijson.basic_parse_coro(self._events)
        self._started = False
        self._quiet = 0
        self._depth = 0
        self._top_key = ""
        self._in_array = False
        self._item: dict[str, Any] = {}
        self._item_key = ""
        self._builder: Any = None
        self._builder_events = 0

    def feed(self, piece: bytes) -> Iterable[dict[str, Any]]:
        """Take at most `SLICE_BYTES` of the document and return the items completed by it.

        Raises:
            UnreadableError: this is no JSON, no listing, or not one of sane proportions.
        """
        if not self._started:
            piece = piece.removeprefix(_BOM)
            self._started = True
        if not piece:
            return ()
        self._parse(piece)
        if not self._events:
            self._quiet += len(piece)
            if self._quiet > _QUIET_BYTES:
                raise UnreadableError("the listing holds a value of absurd length")
            return ()
        self._quiet = 0
        items: list[dict[str, Any]] = []
        for event, value in self._events:
            self._take(event, value, items)
        self._events.clear()
        return items

    def finish(self) -> None:
        """End the document; raise UnreadableError if it is incomplete."""
        self._parse(b"")

    def _parse(self, piece: bytes) -> None:
        try:
            if piece:
                self._parser.send(piece)
            else:
                self._parser.close()
        # ijson reports a number of thousands of digits as SystemError, from the ValueError of int().
        except (ijson.JSONError, ValueError, SystemError):
            complete = False
        else:
            complete = True
        if not complete:
            # Raised outside the handler: the parser's exception quotes the document and must not be chained to ours.
            raise UnreadableError("the answer is no complete JSON document")

    def _take(  # noqa: C901 - one flat chain on the hot path, a branch for each event
        self, event: str, value: Any, items: list[dict[str, Any]]
    ) -> None:
        # Depths: 1 the document's own fields, 2 inside its array, 3 inside an item. Commonest events first.
        depth = self._depth
        if self._builder is not None:
            self._build(event, value)
        elif event == "map_key":
            if depth == 3 and self._in_array:
                self._item_key = value
            elif depth == 1:
                self._top_key = value
        elif event in _OPENING:
            self._open(event, depth)
        elif event in _CLOSING:
            self._depth = depth - 1
            if self._in_array and depth == 3:
                items.append(self._item)
            elif depth == 2:
                self._in_array = False
        elif depth == 3 and self._in_array:
            if self._item_key in self._fields:
                self._item[self._item_key] = value
        else:
            self._take_outside_items(depth, value)

    def _open(self, event: str, depth: int) -> None:
        wanted = "start_map" if depth == 0 or (depth == 2 and self._in_array) else event
        if event != wanted:
            raise UnreadableError("the answer is no listing")
        if depth >= _DEEPEST:
            raise UnreadableError("the listing is nested absurdly deep")
        self._depth = depth + 1
        if self._in_array:
            if depth == 2:
                self._item = {}
        elif depth == 1 and event == "start_array" and self._top_key == self._array:
            self._in_array = self.has_array = True
        elif depth == 1 and event == "start_map" and self._top_key == "status":
            self._builder = ijson.ObjectBuilder()
            self._builder.event(event, None)

    def _take_outside_items(self, depth: int, value: Any) -> None:
        if depth == 0 or (depth == 2 and self._in_array):
            raise UnreadableError("the answer is no listing")
        if depth != 1:
            return
        if self._top_key == "status":
            self.envelope, self.envelope_read = value, True
        elif len(self.top) < _MOST_VALUES:
            self.top[self._top_key] = value

    def _build(self, event: str, value: Any) -> None:
        self._builder_events += 1
        if self._builder_events > _ENVELOPE_EVENTS:
            raise UnreadableError("the listing's status is absurdly long")
        self._builder.event(event, value)
        if event in _OPENING:
            self._depth += 1
        elif event in _CLOSING:
            self._depth -= 1
            if self._depth == 1:
                self.envelope, self.envelope_read = self._builder.value, True
                self._builder = None
