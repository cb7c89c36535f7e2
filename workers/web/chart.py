"""Charts of numbers over time, computed here and drawn by templates/chart.html, without any script."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

__all__ = ["Bar", "Chart", "Line", "Tick", "bars", "lines"]

WIDTH: Final = 900
HEIGHT: Final = 240
#: Room for the texts beside the axes.
LEFT: Final = 62
RIGHT: Final = 84
TOP: Final = 12
BOTTOM: Final = 26
TICKS: Final = 4


@dataclass(frozen=True, slots=True)
class Tick:
    """A mark at an axis, and its text."""

    at: float
    text: str


@dataclass(frozen=True, slots=True)
class Bar:
    """One piece of a column; ``kind`` is the number of its series."""

    x: float
    y: float
    width: float
    height: float
    kind: int


@dataclass(frozen=True, slots=True)
class Line:
    """One series, in pieces with gaps where no value is known; its name is written at its end."""

    pieces: list[str]
    kind: int
    name: str
    end: float


@dataclass(frozen=True, slots=True)
class Chart:
    """Everything that the template draws."""

    title: str
    rows: list[Tick]
    columns: list[Tick]
    bars: Sequence[Bar] = ()
    #: What is shown to somebody who points at a column: x, width, text.
    told: Sequence[tuple[float, float, str]] = ()
    lines: Sequence[Line] = ()
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    right: int = WIDTH - RIGHT
    bottom: int = HEIGHT - BOTTOM


def bars(
    title: str,
    series: Mapping[str, Sequence[float]],
    columns: Sequence[Tick],
    say: Callable[[int], str],
) -> Chart:
    """Return the series as stacked columns. ``columns`` are marks, each at the index of a column; ``say`` returns the text of a column."""
    length = max((len(values) for values in series.values()), default=0)
    top = _nice(max((sum(values[i] for values in series.values()) for i in range(length)), default=0))
    step = (WIDTH - LEFT - RIGHT) / max(1, length)
    drawn, told = [], []
    for i in range(length):
        x, below = LEFT + i * step, 0.0
        for kind, values in enumerate(series.values()):
            if values[i]:
                y, under = _height(below + values[i], top), _height(below, top)
                drawn.append(
                    Bar(round(x + 0.5, 1), y, round(max(step - 1, 0.5), 1), round(under - y, 1), kind)
                )
                below += values[i]
        if below:
            told.append((round(x, 1), round(step, 1), say(i)))
    marks = [Tick(round(LEFT + (tick.at + 0.5) * step, 1), tick.text) for tick in columns]
    return Chart(title, _rows(top, lambda value: f"{value:,.4g}"), marks, bars=drawn, told=told)


def lines(
    title: str,
    series: Mapping[str, Sequence[float | None]],
    columns: Sequence[Tick],
    words: Callable[[float], str],
) -> Chart:
    """Return a line for each series that has any value; None is a gap. ``words`` returns a value as text."""
    length = max((len(values) for values in series.values()), default=0)
    top = _nice(max((value or 0 for values in series.values() for value in values), default=0), seconds=True)
    step = (WIDTH - LEFT - RIGHT) / max(1, length - 1)
    drawn = []
    for kind, (name, values) in enumerate(series.items()):
        pieces: list[list[str]] = [[]]
        end = None
        for i, value in enumerate(values):
            if value is None:
                pieces.append([])
            else:
                end = _height(value, top)
                pieces[-1].append(f"{LEFT + i * step:.1f},{end}")
        if end is not None and any(values):
            drawn.append(Line([" ".join(_seen(piece)) for piece in pieces if piece], kind, name, end))
    marks = [Tick(round(LEFT + tick.at * step, 1), tick.text) for tick in columns]
    return Chart(title, _rows(top, words), marks, lines=_apart(drawn))


def _seen(piece: list[str]) -> list[str]:
    """Return a piece of a line; a single point becomes a short line, or it would not be seen."""
    if len(piece) > 1:
        return piece
    x, y = map(float, piece[0].split(","))
    return [f"{x - 2:.1f},{y}", f"{x + 2:.1f},{y}"]


def _apart(drawn: list[Line]) -> list[Line]:
    """Return the lines with their names so far apart that each can be read."""
    apart, below = [], math.inf
    for line in sorted(drawn, key=lambda one: -one.end):
        below = min(line.end, below - 14)
        apart.append(Line(line.pieces, line.kind, line.name, below))
    return apart


def _height(value: float, top: float) -> float:
    return round(HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP) * value / top, 1)


def _rows(top: float, words: Callable[[float], str]) -> list[Tick]:
    values = [top * i / TICKS for i in range(TICKS + 1)]
    return [Tick(_height(value, top), words(value)) for value in values]


def _nice(most: float, *, seconds: bool = False) -> float:
    """Return a round number of at least `most`, as the top of an axis; for seconds, one that is round as a time."""
    if seconds and most > 60:
        unit = 3600 if most > 3600 else 60
        return unit * _nice(most / unit)
    if most <= TICKS:
        return TICKS
    power = 10.0 ** math.floor(math.log10(most))
    return next(power * factor for factor in (1, 2, 4, 8, 10) if power * factor >= most)
