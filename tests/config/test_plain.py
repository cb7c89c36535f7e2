"""What strangers write reaches a terminal without control characters, and a log as one line."""

from __future__ import annotations

import io
import json
import logging

import pytest

from config.log_line import LineFormatter


@pytest.mark.parametrize("console", [False, True])
def test_no_text_drives_a_terminal_or_breaks_a_line_in_two(console: bool) -> None:
    odd = "\x1b]0;owned\x07 \x9b31m \x7f \u2028 \x85 \r\n end"
    record = logging.makeLogRecord({"name": "library", "msg": odd, "levelname": "INFO"})
    record.error, record.nested = odd, {odd: [odd]}
    line = LineFormatter(io.StringIO(), console=console).format(record)
    assert line.isprintable()
    assert "end" in line
    if not console:
        assert json.loads(line)["error"] == odd
