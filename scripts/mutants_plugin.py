"""For `make mutants`: only the tests that start no process, or only those that do; first those named for the changed file."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

HOUSES = {"house", "fragile_house", "_sandbox"}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Choose and order the tests by what the environment says."""
    processes = os.environ["MUTANT_STAGE"] == "processes"
    changed = Path(os.environ["MUTANT_FILE"]).stem
    chosen = [item for item in items if bool(HOUSES & set(getattr(item, "fixturenames", ()))) == processes]
    chosen.sort(key=lambda item: changed not in item.path.stem)
    config.hook.pytest_deselected(items=[item for item in items if item not in set(chosen)])
    items[:] = chosen
