"""Checks every event that a test's workers emitted against the published schemas."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
from referencing import Registry, Resource

FOLDER = Path(__file__).parents[2] / "docs/contract"
#: Parts in which events differ without a difference to a schema: numbers, and the digits of ids and digests.
DIGITS = re.compile(rb"[0-9a-f]{8,}(?:-[0-9a-f]{4,})*|[0-9]{3,}")
#: A folder to write all events to, for other validators than this one.
KEEP = os.environ.get("KEEP_EVENTS")

_seen: set[bytes] = set()


@cache
def _validator() -> Any:
    files = [json.loads(path.read_text(encoding="utf-8")) for path in FOLDER.glob("*/*.json")]
    registry: Registry[Any] = Registry().with_resources(
        (file["$id"], Resource.from_contents(file)) for file in files
    )
    envelope = registry.contents("urn:coupontools-worker:event:v1")
    return jsonschema.Draft202012Validator(envelope, registry=registry)


def check_events(events: Iterable[bytes]) -> None:
    """Raise jsonschema's ValidationError for an invalid event. Of events that differ in digits alone, only the first is checked."""
    for text in events:
        if KEEP:
            with (Path(KEEP) / f"{os.getpid()}.jsonl").open("ab") as file:
                file.write(text + b"\n")
        if (alike := DIGITS.sub(b"0", text)) not in _seen:
            _validator().validate(json.loads(text))
            _seen.add(alike)
