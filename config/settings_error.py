"""Wrong settings, in one sentence each for the operator, without repeating a secret."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from pydantic import SecretStr

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pydantic import BaseModel, ValidationError
    from pydantic_core import ErrorDetails

__all__ = ["SettingsError", "describe_errors"]

_MISSING: Final = "is required; set it in the environment, in .env or as a file in SECRETS_DIR"
# The input is quoted back only where it helps; addresses may hold passwords.
_NEVER_QUOTED: Final = frozenset({"redis_url", "coupontools_base_url", "coupontools_client_id"})
_QUOTED_LENGTH: Final = 60

# By pydantic's type of error, or its first word; the names in braces are pydantic's context of the error.
_WORDING: Final = {
    "greater_than": "must be greater than {gt:g}",
    "greater_than_equal": "must be at least {ge:g}",
    "less_than_equal": "must be at most {le:.0f}",
    "literal_error": "must be one of {expected}",
    "string_too_long": "must have at most {max_length} characters",
    "finite_number": "must be a finite number, e.g. {default}",
    "int": "must be a whole number, e.g. {default}",
    "float": "must be a number, e.g. {default}",
}


class SettingsError(Exception):
    """A setting is wrong or missing; `lines` says which and why. The process must not start."""

    def __init__(self, lines: Iterable[str]) -> None:
        self.lines: tuple[str, ...] = tuple(lines)
        super().__init__("\n".join(self.lines))


def describe_errors(settings: type[BaseModel], error: ValidationError) -> list[str]:
    """Return one sentence for each setting that `error` complains about, in the order of the fields."""
    sentences: dict[str, str] = {}
    for detail in error.errors(include_url=False):
        name = str(detail["loc"][0])
        sentences.setdefault(name, f"{name.upper()}: {_sentence(settings, name, detail)}")
    return [sentences[name] for name in settings.model_fields if name in sentences]


def _sentence(settings: type[BaseModel], name: str, detail: ErrorDetails) -> str:
    kind, context = detail["type"], detail.get("ctx", {})
    if kind in {"missing", "string_too_short", "too_short"}:
        return _MISSING
    if kind == "value_error":
        # A validator of ours wrote this sentence, and decided what to quote.
        return str(context["error"])
    field = settings.model_fields[name]
    default = field.examples[0] if field.examples else field.default
    wording = _WORDING.get(kind) or _WORDING.get(kind.partition("_")[0], "is not valid")
    return wording.format(default=default, **context) + _got(settings, name, detail.get("input"))


def _got(settings: type[BaseModel], name: str, value: Any) -> str:
    if name in _NEVER_QUOTED or settings.model_fields[name].annotation is SecretStr:
        return ""
    text = str(value)
    return f"; got '{text if len(text) <= _QUOTED_LENGTH else text[:_QUOTED_LENGTH] + '…'}'"
