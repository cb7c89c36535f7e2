"""How many different ids a listing holds, in eight bytes an id."""

from array import array
from collections.abc import Iterator

_BUCKETS = 256


class DistinctIds:
    """Counts ids that may come more than once.

    Only the ids' 64-bit hashes are kept: a set of the ids themselves would take a hundred bytes for each. Two
    ids of one hash would count as one, so the count can be too small, never too large.
    """

    def __init__(self) -> None:
        self._buckets = [array("q") for _ in range(_BUCKETS)]

    def add(self, identifier: str) -> None:
        """Count this id."""
        number = hash(identifier)
        self._buckets[number % _BUCKETS].append(number)

    def counts(self) -> Iterator[int]:
        """Return partial numbers of different ids, to be added up: counting all ids of a long listing at once would hold up the loop."""
        return (len(set(bucket)) for bucket in self._buckets)
