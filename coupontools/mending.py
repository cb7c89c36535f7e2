"""Bytes that no JSON document may hold, mended: one name in another encoding must not hide a whole listing."""

import codecs
import re

MARK = "\ufffd"
"""Stands for each byte that could not be read."""

_CONTROLS = bytes(range(0x20))
# Texts without control bytes, and anything between them; the last text may go on in the next piece.
_SOUND = re.compile(r'[^"]*+(?:"(?:[^"\\\x00-\x1f]++|\\.)*+(?:"[^"]*+|\Z))*+', re.DOTALL)
# Two quotes without a control byte between them (they leave the state as it is), a quote, an escape, a control byte.
_TOKEN = re.compile(r'"[^"\\\x00-\x1f]*"|"|\\.|[\x00-\x1f]', re.DOTALL)


class Mender:
    """Takes a document as its bytes come, and returns it with a mark for each byte that its texts may not hold.

    These are bytes that are not UTF-8 and raw control bytes, which are written as an escape in JSON.
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
