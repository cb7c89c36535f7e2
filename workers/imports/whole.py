"""An import from its first row to its last answer; a command line or a page shows it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import redis

from config import Settings
from config.keys import Keys
from delivery import Policy
from workers.imports.contacts import ContactsFile
from workers.imports.failed_rows import write_failed
from workers.imports.following import Following
from workers.imports.kept_rows import KeptRows
from workers.imports.people import People
from workers.imports.present import read_present
from workers.imports.progress import Answers, Stopped, Tally, Watcher
from workers.imports.run import ImportRun
from workers.redis_link import Patience
from workers.worker_list import account_keys, read_workers

__all__ = ["Import"]


@dataclass(slots=True)
class Import:
    """What to do with a file of contacts, and how far that has come."""

    #: None for a dry run: the rows are only checked.
    client: redis.Redis | None
    settings: Settings
    people: People
    #: List the group first, and leave out who is in it?
    list_first: bool = False
    #: Follow the answers to the last one?
    wait: bool = False
    #: Is the batch this import's alone, and perhaps begun by an earlier process? Then all its answers count, and jobs that failed are not
    #: sent again.
    goes_on: bool = False
    #: Returns the file for the rows that failed; called when all are answered.
    failed_path: Callable[[], Path] | None = None
    tally: Tally = field(default_factory=Tally)
    #: What came of the rows, if their answers are followed.
    answers: Answers | None = None
    #: Was the file read to its end?
    read_all: bool = False
    #: The file with the rows that failed.
    failed_file: Path | None = None

    def carry_out(
        self, contacts: ContactsFile, refused: KeptRows, watcher: Watcher, signals: Sequence[int]
    ) -> None:
        """Enqueue the rows, and follow their answers with ``wait``. Stop when there is anything in ``signals``.

        Raises:
            BatchCancelled: by an operator; nothing more is enqueued.
            NotListed: nobody knows who is in the group; nothing was enqueued.
            Stopped: by a signal, or because Redis was away for too long; what was enqueued goes on.
            redis.RedisError: Redis could not be asked.
            OSError: a file cannot be read or written.
        """
        client, keys = self.client, Keys.of(self.settings)
        if client is not None:
            # Outcomes are remembered under the account of the workers; this process may have no client id.
            keys = account_keys(self.settings, read_workers(client, self.settings))
        run = ImportRun(
            client,
            keys,
            Policy.of(self.settings),
            self.people,
            self.tally,
            watcher,
            signals,
            alone=self.goes_on,
        )
        run.check_cancelled()
        if client is not None and self.list_first:
            group = {name: self.people.constant[name] for name in ("channel", "group_id")}
            run.present = read_present(client, self.settings, group, say=watcher.say, signals=signals)
        if client is None or not self.wait:
            run.run(contacts, refused)
            self.read_all = True
            return
        following = Following(client, keys, run.batch_id, whole=self.goes_on)
        try:
            run.run(contacts, refused)
            self.read_all = True
            # Somebody may read the refused rows while the answers are followed, which can take hours.
            refused.close()
            self.answers = following.follow(self.tally.enqueued, watcher, signals)
        except Stopped as stopped:
            if not stopped.redis_away and stopped.batch_known and self.tally.enqueued:
                self.answers = following.look(self.tally.enqueued)
            raise
        if self.answers.failed and self.failed_path is not None:
            patience = Patience(watcher.say, lambda _: bool(signals))
            with KeptRows(self.failed_path(), contacts.columns, self.failed_path) as failed:
                write_failed(client, self.settings, self.people, contacts, failed, patience=patience)
                self.failed_file = failed.path if failed.created else None
