"""The choices for an import, checked before the file is read: a wrong one would refuse every row."""

from __future__ import annotations

from typing import Any

from actors import JOBS, InvalidJob
from workers.imports.national_numbers import Country

__all__ = ["WrongOption", "constant_arguments", "country_of_numbers"]


class WrongOption(Exception):  # noqa: N818 - says what it is
    """A wrong choice; the message says what would be right. ``name`` is the argument that was chosen."""

    def __init__(self, name: str, problem: str) -> None:
        super().__init__(problem)
        self.name = name


def constant_arguments(**given: Any) -> dict[str, Any]:
    """Return the arguments that all rows have in common, without those that are None.

    Raises:
        WrongOption: one of them breaks a rule of the job.
    """
    constant = {name: value for name, value in given.items() if value is not None}
    try:
        JOBS["list_contacts"].parse(constant)
    except InvalidJob as error:
        problem = error.problems[0]
        raise WrongOption(problem.field, problem.message) from None
    return constant


def country_of_numbers(code: str | None, channel: str) -> Country | None:
    """Return the country whose numbers may lack their `+`.

    Raises:
        WrongOption: there is no such country, or the channel has no numbers.
    """
    if code is None:
        return None
    if channel != "sms":
        raise WrongOption("country", "is only for the channel sms")
    try:
        return Country(code)
    except ValueError as error:
        raise WrongOption("country", str(error)) from None
