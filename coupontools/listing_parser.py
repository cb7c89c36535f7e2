"""A listing's document, read piece by piece in bounded memory."""

from collections.abc import Iterable
from typing import Any

import ijson

from coupontools.dialect import UnreadableError
from coupontools.mending import MARK, Beginning, Mender

SLICE_BYTES = 1 << 14
"""The most that is parsed at once, about a millisecond's work."""

# The parser keeps a text or number whole in memory. No listing has one this long: refuse it.
_QUIET_BYTES = 1 << 20
_DEEPEST = 64
_MOST_VALUES = 64
_DEEPEST_VALUE = 4
_ENVELOPE_EVENTS = 1000
_OPENING = frozenset({"start_map", "start_array"})
_CLOSING = frozenset({"end_map", "end_array"})


class ListingParser:
    """Takes the document as bytes come and gives out the rows of its list.

    `envelope` is the document's `status`, wherever in the document it is, once it has been read to its end. `top` has
    the plain values beside the list (None for a name that comes twice with different values), and `inner` those in
    objects, by names joined with dots. `has_list` says whether the list was there. Of rows only `fields` are kept. A row
    that is no object, has a field twice with different values, or has bytes that JSON forbids in one of its fields, is
    given out empty.

    The list is an array, or what PHP writes for one: an object with numbers for keys (a list with holes), a
    single row, or null, "" or {} for an empty list. Everything but the status may be in an object `data`.
    """

    def __init__(self, array: str, fields: frozenset[str]) -> None:
        self.envelope: object = None
        self.envelope_read = False
        self.top: dict[str, Any] = {}
        self.inner: dict[str, Any] = {}
        self.has_list = False
        self._array = array
        self._fields = fields
        self._events: list[tuple[str, Any]] = ijson.sendable_list()
        self._parser = ijson.basic_parse_coro(self._events)
        self._beginning = Beginning()
        self._mender = Mender()
        self._quiet = 0
        self._depth = 0
        self._top_key = ""
        self._inner_keys: list[str] = []
        self._in_data = False
        self._in_list = False
        self._list_is_array = False
        self._list_key = ""
        self._single: dict[str, Any] | None = None
        self._in_item = False
        self._item: dict[str, Any] = {}
        self._item_key = ""
        self._is_torn = False
        self._builder: Any = None
        self._builder_events = 0

    def feed(self, piece: bytes) -> Iterable[dict[str, Any]]:
        """Take at most `SLICE_BYTES` of the document and return the rows completed by it.

        Raises:
            UnreadableError: this is no JSON, no listing, or not one of sane proportions.
        """
        if begun := self._beginning.feed(piece):
            self._parse(self._mender.feed(begun))
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
        # Depths: 1 the document's own fields, 2 inside its list, 3 inside a row. Commonest events first.
        depth = self._depth
        if self._builder is not None:
            self._build(event, value)
        elif event == "map_key":
            if depth == 3 and self._in_item:
                self._item_key = value
            elif depth == 2 and self._in_list:
                self._list_key = value
            elif depth == 1:
                self._top_key = value
            elif not self._in_list:
                self._inner_keys[depth - 2 :] = [value]
        elif event in _OPENING:
            self._open(event, depth, items)
        elif event in _CLOSING:
            self._close(depth, items)
        elif depth == 3 and self._in_item:
            if self._item_key in self._fields and self._item.setdefault(self._item_key, value) != value:
                self._is_torn = True
        elif depth == 2 and self._in_list:
            self._take_in_list(value, items)
        else:
            self._take_outside_list(depth, value)

    def _open(self, event: str, depth: int, items: list[dict[str, Any]]) -> None:
        if depth == 0 and event != "start_map":
            raise UnreadableError("the answer is no listing")
        if depth >= _DEEPEST:
            raise UnreadableError("the listing is nested absurdly deep")
        if depth == 1 and event == "start_map" and self._top_key == "data" and not self._in_data:
            self._in_data = True
            return
        self._depth = depth + 1
        if depth == 1 and self._top_key == self._array:
            self._in_list = self.has_list = True
            self._list_is_array = event == "start_array"
        elif depth == 1 and event == "start_map" and self._top_key == "status" and not self._in_data:
            self._builder = ijson.ObjectBuilder()
            self._builder.event(event, None)
        elif depth == 2 and self._in_list:
            self._open_in_list(event, items)

    def _open_in_list(self, event: str, items: list[dict[str, Any]]) -> None:
        if not self._holds_rows():
            self._of_single()
        elif event == "start_map":
            self._in_item = True
            self._item = {}
        else:
            items.append({})

    def _take_in_list(self, value: Any, items: list[dict[str, Any]]) -> None:
        if self._holds_rows():
            items.append({})
        elif self._list_key in self._fields:
            self._of_single()[self._list_key] = value
        else:
            self._of_single()

    def _close(self, depth: int, items: list[dict[str, Any]]) -> None:
        if depth == 1 and self._in_data:
            self._in_data = False
            return
        self._depth = depth - 1
        if depth == 3 and self._in_item:
            self._in_item = False
            items.append(self._readable(self._item))
        elif depth == 2 and self._in_list:
            self._in_list = False
            if self._single is not None:
                items.append(self._readable(self._single))
                self._single = None

    def _holds_rows(self) -> bool:
        return self._list_is_array or self._list_key.isdecimal()

    def _of_single(self) -> dict[str, Any]:
        if self._single is None:
            self._single = {}
        return self._single

    def _readable(self, row: dict[str, Any]) -> dict[str, Any]:
        if self._is_torn:
            self._is_torn = False
            return {}
        if self._mender.mended and any(MARK in value for value in row.values() if isinstance(value, str)):
            return {}
        return row

    def _take_outside_list(self, depth: int, value: Any) -> None:
        if depth == 0:
            raise UnreadableError("the answer is no listing")
        if self._in_list or depth > _DEEPEST_VALUE:
            return
        if depth > 1:
            _keep(self.inner, ".".join((self._top_key, *self._inner_keys[: depth - 1])), value)
        elif self._top_key == "status" and not self._in_data:
            self.envelope, self.envelope_read = value, True
        elif self._top_key == self._array:
            self.has_list = self.has_list or value is None or not str(value).strip()
        else:
            _keep(self.top, self._top_key, value)

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


def _keep(values: dict[str, Any], name: str, value: Any) -> None:
    if name in values:
        values[name] = value if values[name] == value else None
    elif len(values) < _MOST_VALUES:
        values[name] = value
