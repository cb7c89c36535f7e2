"""The loop on which jobs run."""

from __future__ import annotations

import asyncio
import sys

import pytest

from workers.loop import _new_loop


def test_jobs_run_on_uvloop_and_on_asyncios_own_loop_where_there_is_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    uvloop = pytest.importorskip("uvloop")
    made = _new_loop()
    made.close()
    assert isinstance(made, uvloop.Loop)
    monkeypatch.setitem(sys.modules, "uvloop", None)
    made = _new_loop()
    made.close()
    assert isinstance(made, asyncio.SelectorEventLoop)
