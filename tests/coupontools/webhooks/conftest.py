"""The vendor's seven example bodies (vendor's document, 'Webhooks'), which the sandbox issues."""

import json
from pathlib import Path
from typing import Any

import pytest

EXAMPLES = {
    path.stem: path for path in sorted((Path(__file__).parents[3] / "sandbox/examples").glob("*.json"))
}


@pytest.fixture(params=sorted(EXAMPLES))
def example(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    """One family's name and its example body, freshly read."""
    return request.param, json.loads(EXAMPLES[request.param].read_text())


@pytest.fixture
def bodies() -> dict[str, dict[str, Any]]:
    """All example bodies by family, freshly read."""
    return {name: json.loads(path.read_text()) for name, path in EXAMPLES.items()}
