"""Renders templates to pages. Every value put into a template is text, and Jinja escapes it, whoever wrote it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import HTMLResponse, Response

from config.scrub import scrub_text
from workers.imports import duration
from workers.web.sessions import Session

__all__ = ["Templates"]

#: Shown where there is no value.
NONE: Final = "\N{EN DASH}"

_FOLDER: Final = Path(__file__).with_name("templates")


class Templates:
    """The templates; ``pages`` returns the pages that the navigation shows to a session."""

    def __init__(self, pages: Callable[[Session], Any]) -> None:
        self._environment = Environment(
            loader=FileSystemLoader(_FOLDER),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.filters |= {
            "age": age,
            "count": count,
            "duration": duration,
            "masked": masked,
            "moment": moment,
        }
        self._environment.globals["pages_for"] = pages

    def page(self, template: str, status: int, who: Session | None, path: str, **context: Any) -> Response:
        """Return a page; ``who`` is None if nobody has signed in."""
        # What the frame of every page needs.
        frame = {"who": who, "path": path, "said": "", "form_token": who.form_token if who else ""}
        return HTMLResponse(self._environment.get_template(template).render(frame | context), status)

    def part(self, template: str, name: str, **context: Any) -> str:
        """Return what a macro of a template renders from these arguments."""
        made: str = getattr(self._environment.get_template(template).module, name)(**context)
        return made


def count(number: int) -> str:
    """Return a number with thousands separators."""
    return f"{number:,}"


def age(seconds: float | None) -> str:
    """Return a length of time as people say it; a dash for none."""
    if seconds is None:
        return NONE
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:,.1f} {unit}" if unit == "d" else f"{seconds / length:,.0f} {unit}"
    return f"{seconds:.0f} s"


def moment(rfc3339: str) -> str:
    """Return a time to the second, as tables show it."""
    try:
        return datetime.fromisoformat(rfc3339).strftime("%Y-%m-%d %H:%M:%S")
    except ValueError:
        return rfc3339


def masked(text: object) -> str:
    """Return a text without secrets, numbers and addresses, as the log would show it."""
    return scrub_text(str(text), known=False)
