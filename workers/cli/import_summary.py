"""What `import` prints at its end."""

from __future__ import annotations

import resource
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workers.cli.output import plain, say, say_json
from workers.imports import Answers, BatchCancelled, Import, ImportTime, Stopped, Tally, duration

__all__ = ["Summary"]

REMOVED_SINCE = "If they were removed at the vendor since, --again adds those who are not in the group now"


@dataclass(slots=True)
class Summary:
    """What an import did, as far as it came."""

    #: None for a dry run.
    batch: str | None
    tally: Tally
    again: bool
    pace: ImportTime | None = None
    of: Import | None = None
    #: How many contacts wait in the queue of imports.
    waiting: int | None = None
    refused_file: Path | None = None

    @property
    def answers(self) -> Answers | None:
        """Return what came of the rows, if their answers were followed."""
        return self.of.answers if self.of else None

    def how_far(self, stopped: Stopped | None = None) -> str:
        """Return how far an import came before it failed or was stopped, and what can be done."""
        if not self.tally.enqueued:
            return "nothing was enqueued"
        batch = shlex.quote(self.batch or "")
        if isinstance(stopped, BatchCancelled):
            return (
                f"everything up to line {self.tally.line:,} was enqueued before ({self.tally.enqueued:,} contacts), and "
                f"`coupontools-worker batches {batch}` shows what came of it"
            )
        if self.of and self.of.read_all:
            return (
                f"`coupontools-worker batches {batch}` shows how far they are, and with --failed FILE.csv writes the contacts that "
                f"failed; the same import with --batch-id {batch} --wait follows them again"
            )
        return (
            f"everything up to line {self.tally.line:,} is enqueued ({self.tally.enqueued:,} contacts); "
            f"running the import again is harmless and adds nobody twice: with --batch-id {batch} it goes on"
        )

    def show(self, *, as_json: bool) -> None:
        """Print the summary."""
        if as_json:
            say_json(self._json())
            return
        # Linux counts in KiB, macOS in bytes: man 2 getrusage.
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (
            2**20 if sys.platform == "darwin" else 2**10
        )
        say(f"{self.tally} ({self.tally.seconds:,.1f} s, at most {peak:,.0f} MiB of memory)")
        if self.answers is not None:
            self._show_answers(self.answers)
        elif self._waiting and self.pace is not None:
            say(self.pace.told(self._waiting, wait="would wait" if self.tally.dry_run else "wait"))
        if self.answers is None and self.tally.added_before:
            say(
                f"{self.tally.added_before:,} contacts or more were added by an earlier job, and nothing is sent for them. {REMOVED_SINCE}"
            )
        if self.tally.dry_run:
            say("nothing was enqueued: this was a dry run")
        if self.batch is not None and self.tally.enqueued and (self.answers is None or self.answers.waiting):
            batch = shlex.quote(self.batch)
            say(f"batch {self.batch}: `coupontools-worker batches {batch}` shows how far it is")
        if self.refused_file is not None:
            say(f"refused rows are in {self.refused_file}: mend them there and import that file")
        if self.of and self.of.failed_file:
            say(
                f"rows that failed are in {self.of.failed_file}, with the reasons: mend them there and import that file"
            )

    def warn(self) -> None:
        """Warn on standard error if contacts would expire before it is their turn."""
        if self.answers is None and self.pace is not None and self.pace.expires_first(self._waiting):
            say(
                f"warning: {self._waiting:,} contacts wait, and the last of them expire before it is their turn: "
                "raise COUPONTOOLS_RATE_LIMIT, or import with a larger --deadline-seconds",
                err=True,
            )

    @property
    def _waiting(self) -> int:
        tally = self.tally
        return self.waiting if self.waiting is not None else tally.right if tally.dry_run else tally.enqueued

    def _json(self) -> dict[str, Any]:
        tally, answers = self.tally, self.answers
        told: dict[str, Any] = {
            "batch_id": None if self.batch is None else plain(self.batch),
            "rows": tally.rows,
            "enqueued": tally.enqueued,
            "refused": tally.refused,
            "repeated": tally.repeated,
            "present": tally.present,
        }
        if answers is not None:
            told |= {"added": answers.added, "replayed": answers.replayed, "failed": answers.failed}
        return told

    def _show_answers(self, answers: Answers) -> None:
        parts = [f"{answers.added:,} added", f"{answers.failed:,} failed"]
        if answers.replayed:
            parts.insert(1, f"{answers.replayed:,} added by an earlier job (nothing was sent)")
        if answers.waiting:
            seconds = answers.left_seconds
            left = "" if seconds is None else f": {duration(seconds)} at the present pace"
            parts.append(f"{answers.waiting:,} not answered yet{left}")
        say(", ".join(parts))
        if answers.replayed and not self.again:
            nobody = "nobody was added: " if not answers.added else ""
            say(f"{nobody}{answers.replayed:,} contacts were added by an earlier job. {REMOVED_SINCE}")
