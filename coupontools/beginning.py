"""Where a document begins: PHP prints byte order marks of its files, blank lines and notices before it."""

_BOM = b"\xef\xbb\xbf"
_BLANKS = b" \t\r\n"
# What a JSON document may begin with, but for true, false and null, which are no answer.
_OF_JSON = frozenset(b'{["-0123456789')


class Beginning:
    """Takes a document as its bytes come, and leaves out what stands before it.

    Blanks and byte order marks are left out, and a text that cannot be JSON up to the first brace. What is left out of
    an HTML page is no loss: the rest of it is no JSON either.
    """

    def __init__(self) -> None:
        self._held = b""
        self._begun = False
        self._in_text = False

    def feed(self, piece: bytes) -> bytes:
        """Return the next bytes of the document itself; none while it has not begun."""
        if self._begun:
            return piece
        rest = self._held + piece
        self._held = b""
        if not self._in_text:
            rest = _without_marks(rest)
            if _BOM.startswith(rest):
                # Nothing yet, or the beginning of a mark that is cut in two.
                self._held = rest
                return b""
            self._in_text = rest[0] not in _OF_JSON
        if self._in_text:
            at = rest.find(b"{")
            if at < 0:
                return b""
            rest = rest[at:]
        self._begun = True
        return rest


def _without_marks(rest: bytes) -> bytes:
    while True:
        plain = rest.lstrip(_BLANKS).removeprefix(_BOM)
        if plain == rest:
            return rest
        rest = plain
