"""Lua scripts: each is a file that opens with its keys, arguments and answers; shared parts are included by name."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from delivery.retry import PAUSES_MS

__all__ = ["SCRIPTS", "Script", "ScriptRunner", "load_scripts"]

_INCLUDE = re.compile(r"^-- include: (\S+)$", re.MULTILINE)
#: Parts that a script's own folder does not have are taken from this one.
_SHARED = Path(__file__).parent / "lua"
_PAUSE = re.compile(r"\bPAUSE\.(\w+)")


@dataclass(frozen=True, slots=True)
class Script:
    """One script, known to Redis by the digest of its text."""

    name: str
    source: str
    sha: str


class ScriptRunner(Protocol):
    """Runs scripts at Redis. Implementations repeat a script whose answer was lost, so every script must be safe to repeat."""

    async def run(self, script: Script, keys: list[str], args: list[Any]) -> Any:
        """Run the script and return its answer. Wait while Redis is away.

        Raises:
            redis.exceptions.ResponseError: the script itself failed; a fault of ours.
        """

    async def command(self, *args: Any) -> Any:
        """Run one plain command that is safe to repeat."""


def load_scripts(folder: Path) -> dict[str, Script]:
    """Return every ``.lua`` file of ``folder`` by its stem.

    A line ``-- include: NAME`` is replaced by the text of that file, from ``folder`` or else from delivery's own, and ``PAUSE.<name>`` by
    that pause in milliseconds.

    Raises:
        KeyError: there is no pause of that name.
    """
    texts = {path.name: path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.lua"))}

    def part(match: re.Match[str]) -> str:
        name = match.group(1)
        return texts[name] if name in texts else (_SHARED / name).read_text(encoding="utf-8")

    scripts = {}
    for name, text in texts.items():
        source = _INCLUDE.sub(part, text)
        source = _PAUSE.sub(lambda match: str(PAUSES_MS[match.group(1)]), source)
        digest = hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest()
        stem = name.removesuffix(".lua")
        scripts[stem] = Script(stem, source, digest)
    return scripts


#: Delivery's own scripts, by name.
SCRIPTS = load_scripts(_SHARED)
