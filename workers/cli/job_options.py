"""The arguments of all jobs as options of a command, derived from the jobs' models: a new job needs no line here."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from inspect import Parameter
from pathlib import Path
from typing import Annotated, Any, Final

import orjson
import typer

from actors import Job
from workers.broker.entries import read_exactly

__all__ = ["LARGEST_NUMBER", "JobOption", "job_options"]

#: The largest number that a message can hold.
LARGEST_NUMBER: Final = 2**63 - 1


@dataclass(frozen=True, slots=True)
class JobOption:
    """An argument that jobs take, and the option that gives it."""

    argument: str
    #: How it is written on a command line: ``text``, ``number``, ``pairs`` (N=TEXT, several times) or ``json`` (a file).
    form: str
    help: str

    @property
    def flag(self) -> str:
        """Return the option's name. One that is given several times is named in the singular."""
        name = self.argument.removesuffix("s") if self.form == "pairs" else self.argument
        return f"--{name.replace('_', '-')}"

    @property
    def parameter(self) -> Parameter:
        """Return the parameter of a command's function."""
        metavar = {"pairs": "N=TEXT", "json": "FILE or -", "number": "NUMBER"}.get(self.form, "TEXT")
        kind: Any = {"number": int, "pairs": list[str]}.get(self.form, str)
        option = typer.Option(self.flag, metavar=metavar, help=self.help)
        annotation = Annotated[kind | None, option]
        return Parameter(self.argument, Parameter.KEYWORD_ONLY, default=None, annotation=annotation)

    def value(self, given: Any) -> Any:
        """Return the argument's value.

        Raises:
            typer.BadParameter: what was given is no pair, a pair twice, no file or no JSON.
        """
        if self.form == "number" and given > LARGEST_NUMBER:
            raise typer.BadParameter(f"must be at most {LARGEST_NUMBER}", param_hint=self.flag)
        if self.form == "pairs":
            pairs = [item.partition("=") for item in given]
            if wrong := [key for key, sign, _ in pairs if not sign]:
                raise typer.BadParameter(
                    f"must be N=TEXT, e.g. 1=gold; got {wrong[0]!r}", param_hint=self.flag
                )
            names = [key.strip() for key, _, _ in pairs]
            if twice := [name for name in names if names.count(name) > 1]:
                raise typer.BadParameter(f"names {twice[0]} twice", param_hint=self.flag)
            return {key.strip(): text for key, _, text in pairs}
        if self.form == "json":
            try:
                return read_exactly(sys.stdin.buffer.read() if given == "-" else Path(given).read_bytes())
            except OSError as error:
                raise typer.BadParameter(f"cannot be read: {error}", param_hint=self.flag) from None
            except orjson.JSONDecodeError as error:
                raise typer.BadParameter(f"is not JSON: {error}", param_hint=self.flag) from None
            except (RecursionError, ValueError):
                raise typer.BadParameter(
                    "is nested too deeply, or holds a number that is too long", param_hint=self.flag
                ) from None
        return given


def job_options(jobs: Mapping[str, type[Job]]) -> dict[str, JobOption]:
    """Return an option for each argument; those that all jobs take come last.

    Raises:
        TypeError: an argument is of a kind that no option can give.
    """
    schemas: dict[str, dict[str, Any]] = {}
    for job in jobs.values():
        for argument, schema in job.model_json_schema()["properties"].items():
            # The schema of an optional argument has two alternatives: null, and what the argument is.
            given = next(one for one in schema.get("anyOf", [schema]) if one.get("type") != "null")
            schemas.setdefault(argument, {**given, **schema})
    options = {}
    for argument in sorted(schemas, key=lambda argument: argument in Job.model_fields):
        form = _form(argument, schemas[argument])
        takers = [name for name, job in jobs.items() if argument in job.model_fields]
        whose = f"for {', '.join(takers)}" if len(takers) < len(jobs) else ""
        text = "; ".join(filter(None, [*_told(schemas[argument], form), whose]))
        options[argument] = JobOption(argument, form, f"{text}.")
    return options


def _form(argument: str, schema: dict[str, Any]) -> str:
    match schema:
        case {"type": "string"}:
            return "text"
        case {"type": "integer"}:
            return "number"
        case {"type": "object", "additionalProperties": {"type": "string"}}:
            return "pairs"
        case {"type": "object"}:
            return "json"
    raise TypeError(f"no option can give the argument {argument!r}: its schema is {schema}")


def _told(schema: dict[str, Any], form: str) -> Iterator[str]:
    """Yield the parts of an argument's help text: its description, else its rule; and an example."""
    if description := schema.get("description"):
        yield description.removesuffix(".")
    elif choices := schema.get("enum"):
        yield " or ".join(choices)
    elif longest := schema.get("maxLength"):
        yield f"at most {longest} characters"
    for example in schema.get("examples", [])[:1]:
        yield f"e.g. {example}"
    if form in {"pairs", "json"}:
        yield {"pairs": "may be given several times", "json": "JSON from a file or standard input"}[form]
