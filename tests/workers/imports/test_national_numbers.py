"""Phone numbers as people write them in their country, and as spreadsheets spoil them."""

from __future__ import annotations

import pytest

from workers.imports.national_numbers import Country


@pytest.mark.parametrize(
    ("country", "written", "number"),
    [
        ("BE", "0470 12 34 56", "+32470123456"),
        ("be", "0470/12.34.56", "+32470123456"),
        ("BE", "0470\u201112\u201134\u201156", "+32470123456"),
        ("BE", "0032 470 12 34 56", "+32470123456"),
        # A spreadsheet removed the plus, or the 0.
        ("BE", "32470123456", "+32470123456"),
        ("BE", "470123456", "+32470123456"),
        # Antwerp: its area code looks like the country's prefix.
        ("BE", "32123456", "+3232123456"),
        # 0491 is an area code of Germany, but no mobile phone's.
        ("DE", "491701234567", "+491701234567"),
        ("DE", "0170 1234567", "+491701234567"),
        ("US", "(202) 555-0123", "+12025550123"),
        ("US", "12025550123", "+12025550123"),
        ("GB", "07700 900123", "+447700900123"),
        ("IT", "02 1234 5678", "+390212345678"),
        # A number of another country.
        ("BE", "0033 6 12 34 56 78", "+33612345678"),
        # Left unchanged: the job's own rule for numbers decides.
        ("BE", "+33 6 12", "+33 6 12"),
        ("BE", "(0)470 12 34 56", "(0)470 12 34 56"),
    ],
)
def test_a_number_of_a_country_becomes_international(country, written, number):
    assert Country(country).international(written) == number


@pytest.mark.parametrize(
    ("country", "written", "why"),
    [
        ("BE", "0470 12", "not a possible number of BE: it is too short"),
        ("BE", "0470 12 34 56 78", "not a possible number of BE: it is too long"),
        ("BE", "33612345678", "it is too long"),
        ("US", "555-0123", "its area code is missing"),
        ("BE", "3.247E+10", "made an amount"),
        ("BE", "3,247e10", "made an amount"),
        ("BE", "32470123456.0", "made an amount"),
        ("BE", "call 0470123456", "may hold only digits"),
        ("BE", "0800 FLOWERS", "may hold only digits"),
        ("BE", "00", "not a possible number"),
        ("BE", "0" * 300, "not a possible number"),
        ("BE", "-", "not a possible number"),
        ("DE", "497654321", "either"),
    ],
)
def test_what_is_no_number_of_the_country_is_refused_with_the_reason(country, written, why):
    with pytest.raises(ValueError, match=why):
        Country(country).international(written)


@pytest.mark.parametrize("code", ["XX", "Belgium", "", "+32", "001"])
def test_a_country_that_does_not_exist_is_refused(code):
    with pytest.raises(ValueError, match="two letters"):
        Country(code)
