"""The settings that a liveness probe needs, read as `Settings` reads them but unchecked: pydantic takes longer to load than a probe may."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

__all__ = ["FEW", "bare", "few_settings", "secret"]

#: Their names and defaults.
FEW: Final = {
    "redis_url": "redis://127.0.0.1:6379/0",
    "broker_namespace": "dramatiq",
    "key_prefix": "coupontools",
    "state_dir": "",
}


def few_settings() -> dict[str, str]:
    """Return each of them from the environment, else from `.env`, else from its file in SECRETS_DIR, else its default.

    Raises OSError or UnicodeDecodeError for a file that cannot be read.
    """
    given = {**_of_file(), **{name.lower(): text for name, text in os.environ.items() if text}}
    folder = bare(given.get("secrets_dir", ""))
    return {name: bare(given.get(name) or secret(folder, name) or default) for name, default in FEW.items()}


def bare(text: str) -> str:
    """Remove blanks and a pair of quotes: `.env` may have them, and Docker passes on those of its `--env-file`."""
    text = text.strip()
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'" else text


def secret(folder: str, name: str) -> str:
    """Return what the file of this setting in the folder SECRETS_DIR holds, its name in upper or lower case; "" if there is none."""
    for file in [Path(folder, each) for each in (name.upper(), name)] if folder else []:
        if file.is_file():
            return file.read_text(encoding="utf-8").strip()
    return ""


def _of_file() -> dict[str, str]:
    if not Path(".env").is_file():
        return {}
    from dotenv import dotenv_values  # noqa: PLC0415 - it takes as long to load as Python itself, and a container has no such file

    return {name.lower(): text for name, text in dotenv_values(".env", encoding="utf-8").items() if text}
