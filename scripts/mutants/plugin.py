"""For `make mutants`: run only the tests that are named in a file, in its order."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis.internal.conjecture import engine

# That an example fails is enough; nobody reads the smallest one.
engine.MAX_SHRINKING_SECONDS = 0


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Choose and order the tests."""
    wanted = Path(os.environ["MUTANT_TESTS"]).read_text(encoding="utf-8").splitlines()
    there = {item.nodeid: item for item in items}
    chosen = [there[test] for test in wanted if test in there]
    config.hook.pytest_deselected(items=[item for item in items if item.nodeid not in set(wanted)])
    items[:] = chosen
