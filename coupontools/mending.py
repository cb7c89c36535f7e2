"""Mend the bytes of an answer as they come: notices that PHP prints, or one name in another encoding, must not make it unreadable."""

import codecs
import re

MARK = "\ufffd"
"""Replaces each byte that could not be read."""

_CONTROLS = bytes(range(0x20))
# Texts without control bytes, and anything between them; the last text may go on in the next piece.
_SOUND = re.compile(r'[^"]*+(?:"(?:[^"\\\x00-\x1f]++|\\.)*+(?:"[^"]*+|\Z))*+', re.DOTALL)
# Two quotes without a control byte or escape between them (the state stays as it is), a quote, an escape, a control byte.
_TOKEN = re.compile(r'"[^"\\\x00-\x1f]*"|"|\\.|[\x00-\x1f]', re.DOTALL)
_BOM = b"\xef\xbb\xbf"
_BLANKS = b" \t\r\n"
# First bytes of JSON documents; not those of true, false and null, which are no answer.
_OF_JSON = frozenset(b'{["-0123456789')


class Beginning:
    """Takes a document as its bytes come, and removes what was printed before it.

    Blanks and byte order marks are removed. If the rest does not begin like JSON, it is removed up to the first brace.
    For an HTML page that is no loss: it is no JSON with or without its beginning.
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


class Mender:
    """Takes a document as its bytes come, and returns it with a mark in place of each byte that its texts may not hold.

    These are bytes that are not UTF-8, and raw control bytes, which JSON writes as escapes.
    """

    def __init__(self) -> None:
        self.mended = False
        """Whether there was any such byte so far."""
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._held = ""
        self._inside = False

    def feed(self, piece: bytes) -> bytes:
        """Return the next bytes of the mended document; a character or escape that is cut in two is kept back."""
        has_controls = len(piece.translate(None, _CONTROLS)) != len(piece)
        text = self._held + self._decode(piece)
        backslashes = len(text) - len(text.rstrip("\\"))
        self._held = "\\" if backslashes % 2 else ""
        text = text.removesuffix(self._held)
        if has_controls and not _SOUND.fullmatch('"' + text if self._inside else text):
            text = _TOKEN.sub(self._replace, text)
        elif _quotes(text) % 2:
            self._inside = not self._inside
        return text.encode()

    def _decode(self, piece: bytes) -> str:
        try:
            return self._decoder.decode(piece)
        except UnicodeDecodeError:
            self.mended = True
        self._decoder.errors = "replace"
        text = self._decoder.decode(piece)
        self._decoder.errors = "strict"
        return text

    def _replace(self, found: re.Match[str]) -> str:
        told = found[0]
        if told == '"':
            self._inside = not self._inside
        elif self._inside and told < " ":
            self.mended = True
            return MARK
        return told


def _quotes(text: str) -> int:
    if "\\" in text:
        text = text.replace("\\\\", "").replace('\\"', "")
    return text.count('"')
