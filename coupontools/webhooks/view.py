"""Typed views: classes that read a JSON object without copying or changing it.

A `View` keeps the received object in `raw`; its declared fields read from there, each time they are asked
for. So the raw value and the typed one stand side by side, nothing can get lost, a field of a wrong type
reads as None while `raw` still shows it, and making a view costs nothing and cannot fail.

    class Status(View):
        __slots__ = ()
        claimed = flag()

    Status({"claimed": "1"}).claimed          -> True
    Status({"claimed": "1"}).raw["claimed"]   -> "1"
"""

from collections.abc import Callable, Mapping
from datetime import date, datetime
from typing import ClassVar, Generic, TypeVar, overload

from coupontools.webhooks.values import (
    read_day,
    read_flag,
    read_integer,
    read_mapping,
    read_moment,
    read_text,
)

T = TypeVar("T")
V = TypeVar("V", bound="View")


class Field(Generic[T]):
    """One field of a view: read from the key `key` (by default the attribute's own name) with `read`."""

    def __init__(self, read: Callable[[object], T | None], key: str | None = None) -> None:
        self.read = read
        self.key = key

    def __set_name__(self, owner: type["View"], name: str) -> None:
        self.key = self.key or name

    @overload
    def __get__(self, view: None, owner: type["View"]) -> "Field[T]": ...
    @overload
    def __get__(self, view: "View", owner: type["View"]) -> T | None: ...
    def __get__(self, view: "View | None", owner: type["View"]) -> "Field[T] | T | None":
        return self if view is None else self.read(view.raw.get(self.key or ""))

    def covers(self, key: str) -> bool:
        """Whether this field reads `key`."""
        return key == self.key


class NumberedFields(Generic[T]):
    """A row of fields that differ by a number, such as custom_field_1 to custom_field_7, as {1: ..., 7: ...}.

    Values of a wrong type are left out; `raw` still shows them.
    """

    def __init__(self, read: Callable[[object], T | None], prefix: str) -> None:
        self.read = read
        self.prefix = prefix

    @overload
    def __get__(self, view: None, owner: type["View"]) -> "NumberedFields[T]": ...
    @overload
    def __get__(self, view: "View", owner: type["View"]) -> dict[int, T]: ...
    def __get__(self, view: "View | None", owner: type["View"]) -> "NumberedFields[T] | dict[int, T]":
        if view is None:
            return self
        read = ((key, self.read(value)) for key, value in view.raw.items() if self.covers(key))
        return {int(key.removeprefix(self.prefix)): value for key, value in read if value is not None}

    def covers(self, key: str) -> bool:
        """Whether `key` is the prefix and a number of at most three digits, written without leading zeros."""
        number = key.removeprefix(self.prefix) if key.startswith(self.prefix) else ""
        return number.isascii() and number.isdigit() and len(number) <= 3 and not number.startswith("0")


class View:
    """A JSON object with typed fields. `raw` is the received object itself; treat it as read-only."""

    __slots__ = ("raw",)

    fields: ClassVar[tuple[Field[object] | NumberedFields[object], ...]] = ()

    raw: Mapping[str, object]

    def __init__(self, raw: Mapping[str, object]) -> None:
        self.raw = raw

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        own = (value for value in vars(cls).values() if isinstance(value, (Field, NumberedFields)))
        cls.fields = (*cls.fields, *own)

    def __repr__(self) -> str:
        # No values: they are people's names, addresses and phone numbers, and this may end up in a log.
        return f"<{type(self).__name__} of {len(self.raw)} fields>"

    @property
    def extra(self) -> dict[str, object]:
        """The received fields that this class does not name: what the vendor added since."""
        return {
            key: value
            for key, value in self.raw.items()
            if not any(field.covers(key) for field in self.fields)
        }


def text(key: str | None = None) -> Field[str]:
    """A string, also an empty one."""
    return Field(read_text, key)


def flag(key: str | None = None) -> Field[bool]:
    """A flag, received as "0" or "1"."""
    return Field(read_flag, key)


def integer(key: str | None = None) -> Field[int]:
    """A whole number, received as a number or as digits."""
    return Field(read_integer, key)


def moment(key: str | None = None) -> Field[datetime]:
    """A moment, received as "2022-01-14 10:40:38", read as an aware datetime in UTC."""
    return Field(read_moment, key)


def day(key: str | None = None) -> Field[date]:
    """A calendar day, received as "1980-01-01"."""
    return Field(read_day, key)


def mapping(key: str | None = None) -> Field[dict[str, object]]:
    """An object whose keys are not the vendor's but its customer's, such as the fields of a form."""
    return Field(read_mapping, key)


def numbered_texts(prefix: str) -> NumberedFields[str]:
    """Strings under numbered keys."""
    return NumberedFields(read_text, prefix)


def part(view: type[V], key: str | None = None) -> Field[V]:
    """An object inside the object, with typed fields of its own."""

    def read(value: object) -> V | None:
        raw = read_mapping(value)
        return None if raw is None else view(raw)

    return Field(read, key)
