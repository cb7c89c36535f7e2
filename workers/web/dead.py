"""Dead letters by kind, queue, batch and time: show, send again, purge."""

from __future__ import annotations

import math
import time
from dataclasses import asdict, dataclass, fields, replace
from datetime import UTC, datetime
from typing import Any, Final, Self

import structlog
from starlette.responses import Response

from config.names import QUEUES
from config.plain_words import no_such
from workers.broker import LETTER_KINDS, DeadLetter, DeadLetters, NotRetried, Place, readable
from workers.web.masking import Mask, pretty
from workers.web.page import Action, Page, Refused, Visit
from workers.worker_list import AccountUnknown, known_account_keys, read_workers

__all__ = ["PAGE"]

log = structlog.get_logger("workers.web")

#: The most letters on one page, letters that are read to find them, and letters that one request may send again or purge.
ON_A_PAGE: Final = 50
MOST_READ: Final = 5_000
MOST_CHANGED: Final = 1_000
#: How long one request may look for letters to change, in seconds.
LONGEST_SECONDS: Final = 10.0
_FIRST: Final[Place] = (float("inf"), 0)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which letters are wanted; an empty field leaves out none."""

    queue: str = ""
    kind: str = ""
    batch: str = ""
    since: str = ""
    until: str = ""

    @classmethod
    def of(cls, given: Any) -> Self:
        """Read the fields from an address or a form.

        Raises:
            Refused: one of them is wrong.
        """
        wanted = cls(*(str(given.get(each.name, "")).strip()[:300] for each in fields(cls)))
        if wanted.queue and wanted.queue not in QUEUES:
            raise Refused(400, no_such("queue", wanted.queue, QUEUES))
        if wanted.kind and wanted.kind not in LETTER_KINDS:
            raise Refused(400, no_such("kind", wanted.kind, LETTER_KINDS))
        for text in (wanted.since, wanted.until):
            _milliseconds(text, 0)
        return wanted

    def query(self) -> dict[str, str]:
        """Return the fields that are not empty, for an address or a form."""
        return {name: text for name, text in asdict(self).items() if text}

    def letters(self, visit: Visit) -> DeadLetters:
        """Return the letters of this queue, kind and batch, whatever their time."""
        queues = [self.queue] if self.queue else QUEUES
        return DeadLetters(
            visit.desk.client, visit.desk.keys(), queues, kind=self.kind or None, batch_id=self.batch or None
        )

    def look(self, letters: DeadLetters, start: Place, most: int) -> tuple[list[DeadLetter], Place | None]:
        """Return at most ``most`` of the letters from ``start`` on, and where to go on."""
        until = min(start, (_milliseconds(self.until, float("inf")), 0))
        return letters.newest_first(
            until=until, since_ms=_milliseconds(self.since, 0), most=most, most_read=MOST_READ
        )


def _milliseconds(text: str, otherwise: float) -> float:
    """Return a field's time in Unix milliseconds; a browser writes it without a time zone, and it is UTC."""
    if not text:
        return otherwise
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise Refused(400, f"{text!r} is not a time such as 2026-03-01T14:00") from None
    return moment.replace(tzinfo=moment.tzinfo or UTC).timestamp() * 1000


def _moment(milliseconds: float) -> str:
    """Return a time as a browser writes it, in UTC, rounded up to a whole millisecond."""
    moment = datetime.fromtimestamp(math.ceil(milliseconds) / 1000, UTC)
    return moment.replace(tzinfo=None).isoformat(timespec="milliseconds")


def _list(visit: Visit) -> Response:
    wanted = Wanted.of(visit.request.query_params)
    letters = wanted.letters(visit)
    found, onward = wanted.look(letters, _place(visit.asked("at"), visit.asked("passed")), ON_A_PAGE)
    return visit.page(
        "dead.html",
        wanted=wanted,
        rows=[_row(letters, letter) for letter in found],
        onward=wanted.query() | {"at": f"{onward[0]:.0f}", "passed": str(onward[1])} if onward else None,
        queues=QUEUES,
        kinds=LETTER_KINDS,
        most_changed=MOST_CHANGED,
    )


def _place(at: str, passed: str) -> Place:
    """Return where a page begins."""
    if not (at.isdecimal() and passed.isdecimal() and len(at) < 16 and len(passed) < 10):
        return _FIRST
    return float(at), int(passed)


def _row(letters: DeadLetters, letter: DeadLetter) -> dict[str, Any]:
    return {
        "letter": letter,
        "why": Mask(_arguments(readable(letters.body(letter) or b""))).text(letter.message),
        **_address(letter),
    }


def _address(letter: DeadLetter) -> dict[str, str]:
    """Return the fields by which a form names a letter: its place, because its message id may be anything or missing."""
    return {"queue": letter.queue, "entry": letter.entry_id.hex()}


def _one(visit: Visit) -> Response:
    letters, letter = _addressed(visit)
    return _show(visit, letters, letter, openly=False)


def _openly(visit: Visit) -> Response:
    letters, letter = _addressed(visit)
    log.warning("web.shown", message_id=letter.id)
    return _show(visit, letters, letter, openly=True)


def _show(visit: Visit, letters: DeadLetters, letter: DeadLetter, *, openly: bool) -> Response:
    message = readable(letters.body(letter) or b"")
    mask = Mask(_arguments(message))
    return visit.page(
        "letter.html",
        letter=letter,
        why=letter.message if openly else mask.text(letter.message),
        message=pretty(message if openly else mask.message(message)) if message else "",
        address=_address(letter),
        openly=openly,
    )


def _is_anew(visit: Visit) -> bool:
    """Return whether to call the API again without reading back. Raise Refused if the account of the jobs is not known."""
    anew = visit.given("anew") == "yes"
    if anew:
        try:
            known_account_keys(visit.desk.settings, read_workers(visit.desk.client, visit.desk.settings))
        except AccountUnknown as error:
            raise Refused(409, f"nothing was done: {error}") from None
    return anew


def _retry(visit: Visit) -> Response:
    letters, letter = _addressed(visit)
    anew = _is_anew(visit)
    try:
        new = letters.retry(letter, anew=anew)
    except NotRetried as error:
        return visit.go("/dead/letter", f"The letter {error}.", **_address(letter))
    log.info("web.acted", action="retry", message_id=letter.id, anew=anew, changed=new is not None)
    if new is None:
        return visit.go("/dead", "The letter is not there any more.")
    return visit.go("/job", "The job is sent again, under this id.", id=new)


def _purge(visit: Visit) -> Response:
    letters, letter = _addressed(visit)
    purged = letters.purge([letter])
    log.info("web.acted", action="purge", message_id=letter.id, changed=bool(purged))
    return visit.go("/dead", "The letter is forgotten." if purged else "The letter is not there any more.")


def _retry_many(visit: Visit) -> Response:
    wanted = Wanted.of(visit.form)
    letters = wanted.letters(visit)
    sent = not_sent = 0
    anew = _is_anew(visit)
    some, onward = _some(wanted, letters)
    for letter in some:
        try:
            sent += letters.retry(letter, anew=anew) is not None
        except NotRetried:
            not_sent += 1
    log.info("web.acted", action="retry", anew=anew, letters=sent, **wanted.query())
    said = f"{sent:,} sent again." + (f" {not_sent:,} are not readable jobs, and stay." if not_sent else "")
    if onward:
        said += " There are more. The list below begins with the next ones."
        # Jobs that fail again die anew, and unreadable ones stay: without this, both would come first again and again.
        wanted = replace(wanted, until=_moment(onward[0]))
    return visit.go("/dead", said, **wanted.query())


def _purge_many(visit: Visit) -> Response:
    wanted = Wanted.of(visit.form)
    letters = wanted.letters(visit)
    some, onward = _some(wanted, letters)
    purged = letters.purge(some)
    log.info("web.acted", action="purge", letters=purged, **wanted.query())
    return visit.go(
        "/dead", f"{purged:,} forgotten." + (" There are more." if onward else ""), **wanted.query()
    )


def _some(wanted: Wanted, letters: DeadLetters) -> tuple[list[DeadLetter], Place | None]:
    """Return the letters that one request changes, fewer if finding them takes too long; and where to go on, if there may be more."""
    found: list[DeadLetter] = []
    place: Place | None = _FIRST
    began = time.monotonic()
    while place is not None and len(found) < MOST_CHANGED and time.monotonic() - began < LONGEST_SECONDS:
        some, place = wanted.look(letters, place, MOST_CHANGED - len(found))
        found += some
    return found, place


def _addressed(visit: Visit) -> tuple[DeadLetters, DeadLetter]:
    """Return the letter that an address or a form names."""
    queue = visit.named("queue")
    try:
        entry_id = bytes.fromhex(visit.named("entry"))
    except ValueError:
        entry_id = b""
    if queue not in QUEUES or not entry_id:
        raise Refused(400, "no dead letter is named")
    letters = DeadLetters(visit.desk.client, visit.desk.keys(), [queue])
    letter = letters.at(queue, entry_id)
    if letter is None:
        raise Refused(
            404, "the letter is not there any more: it was sent again, purged, or is older than 7 days"
        )
    return letters, letter


def _arguments(message: Any) -> dict[str, Any]:
    kwargs = message.get("kwargs") if isinstance(message, dict) else None
    return kwargs if isinstance(kwargs, dict) else {}


PAGE: Final = Page(
    "Dead letters",
    "/dead",
    {
        "/dead": {"GET": Action(_list, slow=True)},
        "/dead/letter": {"GET": Action(_one)},
        "/dead/letter/openly": {"POST": Action(_openly)},
        "/dead/letter/retry": {"POST": Action(_retry)},
        "/dead/letter/purge": {"POST": Action(_purge)},
        "/dead/retry": {"POST": Action(_retry_many, slow=True)},
        "/dead/purge": {"POST": Action(_purge_many, slow=True)},
    },
)
