"""The line in which each number or address of a file comes first."""

from __future__ import annotations

import tracemalloc

import pytest

from workers.imports.first_lines import FirstLines


def test_it_tells_the_first_line_of_everybody_however_many_they_are():
    lines, expected = FirstLines(), {}
    for line in range(1, 20_001):
        person = f"+3247{line * line % 8_009:07}"
        assert lines.note(person, line) == expected.get(person)
        expected.setdefault(person, line)


@pytest.mark.parametrize("people", [20_000, pytest.param(100_000, marks=pytest.mark.chaos)])
def test_many_people_take_a_few_mebibytes(people: int):
    tracemalloc.start()
    try:
        lines = FirstLines()
        for number in range(people):
            lines.note(f"+3247{number:07}", number + 2)
        size, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert size < 73 * people
