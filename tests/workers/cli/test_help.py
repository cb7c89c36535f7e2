"""`--help` of every command says all there is to say on a narrow terminal, too."""

from __future__ import annotations

import re

import pytest
import typer

from workers.cli.main import COMMANDS, build_app

DEAD = ("list", "show", "retry", "purge")


@pytest.mark.parametrize("width", [60, 100])
def test_no_help_cuts_anything(
    width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("TERMINAL_WIDTH", str(width))
    app = build_app()
    root = typer.main.get_command(app)
    context = typer.Context(root)
    asked = [(), *((name,) for name in COMMANDS), *(("dead", name) for name in DEAD)]
    for path in asked:
        command = root
        for name in path:
            command = command.get_command(context, name)  # type: ignore[attr-defined]
        app([*path, "--help"], standalone_mode=False)
        shown = capsys.readouterr().out
        assert "…" not in shown, path
        # Of an argument, dots say that it may be given several times.
        assert not re.search(r"[a-z]\.\.\.", shown), path
        # An option is to be copied whole.
        assert width > 60 or not re.search(r"--[a-z-]*-$", shown, re.MULTILINE), path
        assert max(map(len, shown.splitlines())) <= width, path
        for option in (each for each in command.params if each.param_type_name == "option"):
            assert any(name in shown for name in option.opts), (path, option.opts)
        assert path or "3 the waiting timed" in shown
