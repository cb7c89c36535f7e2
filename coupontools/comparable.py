"""One form for each number, address and name, however it is written: two texts of one form mean the same.

Also: whether an answer certainly names another number or address than the one sent. Such an answer is a left-over, or comes from a
mixed-up cache. A value that is left out, hidden in part or cannot be compared is not certainly another: it may be ours.
"""

import html
import re
import unicodedata

import idna

# Text that was escaped more often than this is nobody's name.
_ESCAPED_AT_MOST = 8
_NUMBER = re.compile(r"\+?(?:00)?([1-9][0-9]{6,14})")
# What databases keep of a number that is too large for its column.
_SATURATED = frozenset(str(2**bits - 1) for bits in (15, 16, 23, 24, 31, 32))
_SEPARATORS = str.maketrans("", "", " \t\u00a0\u2009\u202f.-/()\u2010\u2011\u2012\u2013\u2014\u2212")
# Marks of direction and width, which come along when text is copied.
_INVISIBLE = re.compile("[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]")
# Digits are left out where separators are repeated: `32470...456` is no number of eight digits.
_GAP = re.compile(r"([ .-])\1")
_COUNTRY_DIGITS = 3
_HIDDEN_DIGITS = re.compile(r"[^0-9]+")
_HIDDEN_LETTERS = re.compile(r"[*\u2022\u2026]+")
_NO_LETTER = re.compile(r"[^\w@]|_")


def comparable_number(told: str) -> str | None:
    """Return the digits of a whole number: the same for `+32470123456`, `0032 470 12 34 56` and `32470123456`.

    None for a number that is national, cut or masked, and for a text that is no number.
    """
    found = _NUMBER.fullmatch(told)
    if found is None:
        plain = unescaped(told)
        found = None if _GAP.search(plain) else _NUMBER.fullmatch(_without_separators(plain))
    return found[1] if found else None


def is_saturated(told: str) -> bool:
    """Return whether this is no number of a person, but the largest that fits into a column."""
    return told.lstrip("+") in _SATURATED


def _without_separators(told: str) -> str:
    """Return a number without what people write between its digits."""
    return told.translate(_SEPARATORS)


def comparable_address(told: str) -> str | None:
    """Return an address without escapes, in lower case, its domain as it is looked up (IDNA 2008 with UTS 46).

    None for what is no address, or has a domain that cannot be compared. The local part is not case-folded:
    `strauß@` and `strauss@` are two people.
    """
    name, at, domain = unescaped(told).lower().rpartition("@")
    domain = domain.rstrip(".")
    if not (name and domain):
        return None
    if not domain.isascii():
        try:
            domain = idna.encode(domain, uts46=True).decode()
        except UnicodeError:
            return None
    return f"{name}{at}{domain}"


def letters_of_address(address: str) -> str:
    """Return an unescaped address without signs: applications double (`o''brien@`), replace or drop them."""
    return _NO_LETTER.sub("", address.lower())


def comparable_name(told: str) -> str:
    """Return a name without escapes and with single spaces; upper and lower case stay different."""
    return " ".join(unescaped(told).split())


def unescaped(told: str) -> str:
    r"""Return a text as it was before web applications escaped it, however often: `R&amp;D` as `R&D`, `O\'Neill` as `O'Neill`."""
    for _ in range(_ESCAPED_AT_MOST):
        plain = re.sub(r"""\\+(['"])""", r"\1", html.unescape(told))
        if plain == told:
            break
        told = plain
    return unicodedata.normalize("NFC", _INVISIBLE.sub("", told)).strip()


def mangled(text: str) -> list[str]:
    """Return what becomes of a text in systems that take UTF-8 for another encoding, once or twice, or know no letters beyond ASCII."""
    if text.isascii():
        return []
    forms = [form.encode("ascii", "ignore").decode() for form in (text, unicodedata.normalize("NFKD", text))]
    for encoding in ("latin-1", "cp1252"):
        once = text.encode(errors="replace").decode(encoding, "replace")
        forms += [once, once.encode().decode(encoding, "replace")]
    return forms


def is_another_number(told: str, sent: str) -> bool:
    """Return whether a number in an answer, whole, national or masked, cannot be the one sent (E.164)."""
    digits = comparable_number(sent)
    if digits is None or is_saturated(told):
        return False
    # Some countries dial this zero, some do not.
    told = told.replace("(0)", "")
    if number := comparable_number(told):
        # The number in the answer may also be cut at either end.
        return not (digits.endswith(number) or number.endswith(digits) or digits.startswith(number))
    first, *others = _HIDDEN_DIGITS.split(_without_separators(told).lstrip("+"))
    beginning = first.lstrip("0")
    if others:
        # A national number begins after the country code.
        begins_alike = beginning in digits[: len(beginning) + (_COUNTRY_DIGITS if first != beginning else 0)]
        return not (begins_alike and digits.endswith(others[-1]))
    return not digits.endswith(beginning)


def is_another_address(told: str, sent: str) -> bool:
    """Return whether an email address in an answer, whole or masked, cannot be the one sent."""
    beginning, *others = _HIDDEN_LETTERS.split(unescaped(told).lower())
    address, ours = comparable_address(told), comparable_address(sent)
    if others:
        plain = unescaped(sent).lower()
        return not (plain.startswith(beginning) and plain.endswith(others[-1]))
    if address is None or ours is None or address == ours:
        return False
    plain = unescaped(sent)
    return letters_of_address(address) not in map(letters_of_address, (plain, ours, *mangled(plain)))
