"""What a name may look like in an answer that does not show it as it was sent: escaped, cut, in other letters, numbered.

Only letters and digits are compared, so that it does not matter what else an application leaves out, doubles or replaces.
"""

import html
import re
import unicodedata
from urllib.parse import unquote_plus

from coupontools.comparable import mangled, unescaped

# The text behind one of these was left out or lost.
_GAP = re.compile(r"(\.{2,}|…|\?|\ufffd).*", re.DOTALL)
_NO_LETTER = re.compile(r"[\W_]+")
_ACCENT = re.compile("[\u0300-\u036f]")
_TAG = re.compile(r"<[^>]*>")
_NUMBER = re.compile(r"[+-]?0*([0-9]+)")
# JSON that was decoded and stripped of its backslashes: `Zou00eb`.
_CODE = re.compile(r"\\*u([0-9a-f]{4})", re.IGNORECASE)
# `Pizza (2)`: some applications number a name that exists already.
_COUNTER = re.compile(r"[\s_(\[#-]*[0-9]{1,3}[\s)\]]*\Z")
_TWO_LETTERS = str.maketrans(
    {"ä": "ae", "ö": "oe", "ü": "ue", "å": "aa", "æ": "ae", "œ": "oe", "ø": "oe", "þ": "th"}
)
_ONE_LETTER = str.maketrans({"æ": "a", "œ": "o", "ø": "o", "ð": "d", "đ": "d", "ł": "l", "ħ": "h"})


def letters(text: str) -> str:
    """Return the letters and digits of a text, in lower case."""
    return _NO_LETTER.sub("", unicodedata.normalize("NFKC", text).casefold())


def spellings(name: str) -> set[str]:
    """Return the letters of a name in each form in which applications may write it; they may cut each form."""
    once, small = html.escape(name), unicodedata.normalize("NFC", name).casefold()
    forms = [
        name,
        html.escape(name, quote=False),
        once,
        html.escape(once),
        _TAG.sub("", name),
        *mangled(name),
        small.translate(_TWO_LETTERS),
    ]
    forms.append(_ACCENT.sub("", unicodedata.normalize("NFKD", small.translate(_ONE_LETTER))))
    # PHP writes a name of digits as a number if it is asked to (JSON_NUMERIC_CHECK).
    forms += _NUMBER.findall(name) if _NUMBER.fullmatch(name) else []
    return {letters(form) for form in forms}


def shown_beginnings(told: str) -> set[str]:
    """Return the letters with which a spelling of the real name may begin, from what is shown of it; "" if nothing is shown."""
    shown = _GAP.sub("", told)
    forms = {shown, unescaped(shown)}
    if "%" in shown or "+" in shown:
        forms.add(unquote_plus(shown))
    if _CODE.search(shown):
        forms.add(_CODE.sub(lambda found: chr(int(found[1], 16)), shown))
    return {letters(form) for form in forms}


def shown_uncounted(told: str) -> str | None:
    """Return the letters of a name without the number at its end; None if there is no such number."""
    plain = unescaped(told)
    found = _COUNTER.search(plain)
    return letters(plain[: found.start()]) if found else None


def is_another_name(told: str, sent: str) -> bool:
    """Return whether a name in an answer, whole or not, cannot be the one sent."""
    forms, beginnings = spellings(sent), shown_beginnings(told)
    begins_alike = any(form.startswith(beginning) for form in forms for beginning in beginnings)
    return not begins_alike and shown_uncounted(told) not in forms
