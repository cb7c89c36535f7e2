"""As much of PromQL as the alert rules use, so that their logic is also tested where promtool is not installed.

A vector is a dictionary from a frozenset of labels to a number; samples come once a minute. Other expressions raise ValueError.
https://prometheus.io/docs/prometheus/latest/querying/operators/
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

__all__ = ["firing", "samples_of"]

Labels = frozenset[tuple[str, str]]
Vector = dict[Labels, float]
#: The samples of each series, one a minute; None where a sample is missing.
Series = dict[str, list[float | None]]

_TOKEN = re.compile(r"\s*(\"[^\"]*\"|\d+(?:\.\d+)?[smh]?|[A-Za-z_]\w*|==|>=|<=|!=|=~|[-+*/()\[\]{},<>=])")
_MINUTES = {"s": 1 / 60, "m": 1, "h": 60}
#: How tightly an operator binds.
_BINDS = {"or": 1, "and": 2, "unless": 2, "==": 3, ">": 3, "<": 3, "+": 4, "-": 4, "*": 5, "/": 5}


def samples_of(text: str) -> list[float | None]:
    """Return the samples that promtool's notation means: ``0x5`` (six zeros), ``0+2x5``, ``_x3`` (three missing)."""
    samples: list[float | None] = []
    for part in text.split():
        if missing := re.fullmatch(r"_x(\d+)", part):
            samples += [None] * int(missing[1])
        elif run := re.fullmatch(r"([\d.]+)(?:\+([\d.]+))?x(\d+)", part):
            start, step, count = float(run[1]), float(run[2] or 0), int(run[3])
            samples += [start + step * n for n in range(count + 1)]
        else:
            samples.append(float(part))
    return samples


def firing(rules: list[dict[str, Any]], series: dict[str, str], minute: int) -> set[str]:
    """Return the names of the alerts that fire at this minute."""
    found: Series = {name: samples_of(text) for name, text in series.items()}
    fire = set()
    for rule in rules:
        wait = _minutes(rule.get("for", "0m"))
        since: dict[Labels, int] = {}
        for now in range(minute + 1):
            active = _Query(rule["expr"], found, now).vector()
            since = {labels: since.get(labels, now) for labels in active}
        if any(minute - began >= wait for began in since.values()):
            fire.add(rule["alert"])
    return fire


def _minutes(text: str) -> float:
    return float(text[:-1]) * _MINUTES[text[-1]]


class _Query:
    """Evaluates an expression while reading it."""

    def __init__(self, text: str, series: Series, now: int) -> None:
        self._tokens = _TOKEN.findall(text)
        if "".join(self._tokens) != re.sub(r"\s+(?=(?:[^\"]*\"[^\"]*\")*[^\"]*$)", "", text):
            raise ValueError(f"this is no expression that is known here: {text}")
        self._series, self._now = series, now

    def vector(self) -> Vector:
        value = self._expression(0)
        if self._tokens or not isinstance(value, dict):
            raise ValueError(f"no vector, or something is left: {self._tokens}")
        return value

    # -- Reading --------------------------------------------------------------------------------------------------------------

    def _peek(self) -> str:
        return self._tokens[0] if self._tokens else ""

    def _take(self, expected: str | None = None) -> str:
        token = self._tokens.pop(0)
        if expected not in {None, token}:
            raise ValueError(f"{expected} was expected, not {token}")
        return token

    def _names(self) -> list[str]:
        self._take("(")
        names = []
        while self._peek() != ")":
            names.append(self._take())
            if self._peek() == ",":
                self._take()
        self._take(")")
        return names

    def _expression(self, tightness: int) -> Any:
        left = self._primary()
        while (binds := _BINDS.get(self._peek(), 0)) > tightness:
            operator = self._take()
            on = None
            if self._peek() == "on":
                self._take()
                on = self._names()
            left = _apply(operator, left, self._expression(binds), on)
        return left

    def _primary(self) -> Any:
        token = self._take()
        if token == "(":
            value = self._expression(0)
            self._take(")")
            return value
        if re.fullmatch(r"[\d.]+", token):
            return float(token)
        if token in {"sum", "max"}:
            return self._aggregate(sum if token == "sum" else max)
        if self._peek() == "(" and token in {"increase", "rate"}:
            self._take("(")
            vector = self._selector(self._take(), of=token)
            self._take(")")
            return vector
        if self._peek() == "(":
            return self._call(token)
        return self._selector(token)

    def _aggregate(self, combine: Callable[[list[float]], float]) -> Vector:
        by: list[str] = []
        if self._peek() == "by":
            self._take()
            by = self._names()
        self._take("(")
        vector = self._expression(0)
        self._take(")")
        groups: dict[Labels, list[float]] = {}
        for labels, value in vector.items():
            groups.setdefault(_only(labels, by), []).append(value)
        return {labels: combine(values) for labels, values in groups.items()}

    def _call(self, name: str) -> Vector:
        self._take("(")
        arguments: list[Any] = []
        while self._peek() != ")":
            token = self._peek()
            arguments.append(self._take()[1:-1] if token.startswith('"') else self._expression(0))
            if self._peek() == ",":
                self._take()
        self._take(")")
        if name == "absent":
            return {} if arguments[0] else {frozenset(): 1.0}
        if name == "label_replace":
            vector, new, _, old, pattern = arguments
            if pattern != "(.*)":
                raise ValueError(pattern)
            return {labels | {(new, dict(labels).get(old, ""))}: value for labels, value in vector.items()}
        if name == "histogram_quantile":
            return _quantile(*arguments)
        raise ValueError(f"the function {name} is not known here")

    def _selector(self, name: str, of: str = "") -> Vector:
        wanted: list[tuple[str, str, str]] = []
        if self._peek() == "{":
            self._take()
            while self._peek() != "}":
                wanted.append((self._take(), self._take(), self._take()[1:-1]))
                if self._peek() == ",":
                    self._take()
            self._take("}")
        window = 0.0
        if self._peek() == "[":
            self._take()
            window = _minutes(self._take())
            self._take("]")
        at = self._now
        if self._peek() == "offset":
            self._take()
            at -= round(_minutes(self._take()))
        vector = {}
        for text, samples in self._series.items():
            base, _, rest = text.partition("{")
            labels = dict(re.findall(r"(\w+)=\"([^\"]*)\"", rest))
            if base != name or not all(_matches(labels.get(key, ""), how, to) for key, how, to in wanted):
                continue
            seen = [one for one in samples[max(0, at - round(window)) : max(0, at + 1)] if one is not None]
            if of and len(seen) > 1:
                vector[frozenset(labels.items())] = (seen[-1] - seen[0]) / (
                    window * 60 if of == "rate" else 1
                )
            elif not of and 0 <= at < len(samples) and samples[at] is not None:
                vector[frozenset(labels.items())] = seen[-1]
        return vector


def _matches(value: str, how: str, wanted: str) -> bool:
    same = re.fullmatch(wanted, value) is not None if how == "=~" else value == wanted
    return same != (how == "!=")


def _only(labels: Labels, names: list[str]) -> Labels:
    return frozenset(pair for pair in labels if pair[0] in names)


def _apply(operator: str, left: Any, right: Any, on: list[str] | None) -> Any:
    def key(labels: Labels) -> Labels:
        return labels if on is None else _only(labels, on)

    if operator in {"or", "and", "unless"}:
        there = {key(labels) for labels in right}
        if operator == "or":
            here = {key(labels) for labels in left}
            return left | {labels: value for labels, value in right.items() if key(labels) not in here}
        return {
            labels: value for labels, value in left.items() if (key(labels) in there) == (operator == "and")
        }
    if not isinstance(left, dict):
        if operator != "*":
            raise ValueError(f"a number {operator} a vector is not known here")
        return {labels: left * value for labels, value in right.items()}
    pairs = (
        (labels, value, right.get(labels) if isinstance(right, dict) else right)
        for labels, value in left.items()
    )
    both = [(labels, value, other) for labels, value, other in pairs if other is not None]
    if operator in {"==", ">", "<"}:
        holds = {"==": float.__eq__, ">": float.__gt__, "<": float.__lt__}[operator]
        return {labels: value for labels, value, other in both if holds(float(value), float(other))}
    count = {"+": float.__add__, "-": float.__sub__, "*": float.__mul__, "/": float.__truediv__}[operator]
    return {labels: count(float(value), float(other)) for labels, value, other in both}


def _quantile(share: float, buckets: Vector) -> Vector:
    """Return the upper edge of the bucket that contains the quantile: enough to tell seconds from milliseconds."""
    counts = sorted(
        (float(dict(labels)["le"].replace("+Inf", "inf")), value) for labels, value in buckets.items()
    )
    if not counts or not counts[-1][1]:
        return {}
    return {frozenset(): next(edge for edge, value in counts if value >= share * counts[-1][1])}
