"""Numbers as people of one country write them, brought to E.164. The one module that knows the library phonenumbers."""

from __future__ import annotations

import re
from typing import Final

import phonenumbers
from phonenumbers import (
    NumberParseException,
    PhoneNumber,
    PhoneNumberFormat,
    PhoneNumberType,
    ValidationResult,
)

__all__ = ["Country"]

#: The characters of a number. Letters are refused: the library would read them as the keys of a telephone.
WRITTEN: Final = re.compile(r"[\d\s.()/\-\u2010-\u2015]+")
#: What a spreadsheet makes of a number that it takes for an amount: 3.247E+10, 32470123456.0
AMOUNT: Final = re.compile(r"\d+([.,]\d+)?E\+?\d+|\d+[.,]0", re.IGNORECASE)
#: Nobody can tell whether this 0 is dialled; the job's own rule refuses it and says so.
DOUBTFUL_ZERO: Final = re.compile(r"\([ .\-]*0[ .\-]*\)")
E164: Final = PhoneNumberFormat.E164
MOBILE: Final = (PhoneNumberType.MOBILE, PhoneNumberType.FIXED_LINE_OR_MOBILE)
WHY_IMPOSSIBLE: Final = {
    ValidationResult.TOO_SHORT: "it is too short",
    ValidationResult.TOO_LONG: "it is too long",
    ValidationResult.IS_POSSIBLE_LOCAL_ONLY: "its area code is missing",
}


class Country:
    """A country, whose numbers may be written without `+`.

    Raises:
        ValueError: there is no such country.
    """

    def __init__(self, code: str) -> None:
        self.code = code.upper()
        if self.code not in phonenumbers.SUPPORTED_REGIONS:
            raise ValueError("must be the two letters of a country, e.g. BE")
        self._prefix = str(phonenumbers.country_code_for_region(self.code))

    def international(self, text: str) -> str:
        """Return a number in E.164. One with a `+` is returned as it is, for the job's own rule to judge.

        Raises:
            ValueError: it cannot be a number of this country; the message says why.
        """
        if text.startswith("+") or DOUBTFUL_ZERO.search(text):
            return text
        if AMOUNT.fullmatch(text):
            raise ValueError(
                "a spreadsheet made an amount of this number: format the column as text, or as a number without decimals"
            )
        if not WRITTEN.fullmatch(text):
            raise ValueError(
                f"is not a number of {self.code}: it may hold only digits, spaces, dots, dashes, '/' and parentheses"
            )
        number = self._parsed(text)
        possible = phonenumbers.is_possible_number_with_reason(number)
        if possible != ValidationResult.IS_POSSIBLE:
            why = WHY_IMPOSSIBLE.get(possible, "no number there has this many digits")
            raise ValueError(f"is not a possible number of {self.code}: {why}")
        return phonenumbers.format_number(number, E164)

    def _parsed(self, text: str) -> PhoneNumber:
        try:
            number = phonenumbers.parse(text, self.code)
            if not text.startswith(self._prefix):
                return number
            # A spreadsheet may have removed the plus, or the 0 before an area code that looks like the country's prefix.
            readings = (number, phonenumbers.parse(f"+{text}"))
        except NumberParseException:
            raise ValueError(f"is not a possible number of {self.code}") from None
        valid = [reading for reading in readings if phonenumbers.is_valid_number(reading)]
        # Both can be valid where numbers have no fixed length. The contact will get text messages, so a mobile number is meant.
        likely = [reading for reading in valid if phonenumbers.number_type(reading) in MOBILE] or valid
        if len(likely) == 2 and likely[0] != likely[1]:
            told = " or ".join(phonenumbers.format_number(reading, E164) for reading in likely)
            raise ValueError(f"is either {told}: write it with its '+'")
        return likely[0] if likely else number
