"""Import: upload a file, choose how it is read, check it, import it and watch it; for operators, and for WEB_IMPORT_TOKEN."""

from __future__ import annotations

import time
import uuid
from functools import partial
from pathlib import PurePath
from typing import Final

import structlog
from starlette.datastructures import UploadFile
from starlette.responses import FileResponse, Response

from workers.imports import UnusableFile, columns_of, known_columns
from workers.web.import_form import FilledIn, PreviewRow, look_at, note_choices, preview
from workers.web.import_look import look_at_import
from workers.web.import_shelf import KEPT_SECONDS, MOST_FILES, Record, ShelfFull
from workers.web.live import stream
from workers.web.owners import mark_owner, owner_of, remember
from workers.web.page import Action, Page, Refused, Visit
from workers.web.workshop import ELSEWHERE

__all__ = ["PAGE"]

log = structlog.get_logger("workers.web")

CHANNELS: Final = ("sms", "email")
#: The longest file that is taken, and the form around it, in bytes; and how long an upload may take, in seconds: 20 MiB at 300 kbit/s.
MOST_BYTES: Final = 20 * 2**20
FORM_BYTES: Final = 64 * 1024
UPLOAD_SECONDS: Final = 600.0
LONGEST_NAME: Final = 100
MOST_COLUMNS: Final = 100
GONE: Final = (
    f"you have no such import; a file is kept for {KEPT_SECONDS / 3600:g} hours at most, "
    "and only for the browser that sent it, until that signs out"
)


def _list(visit: Visit, status: int = 200, problem: str = "") -> Response:
    mine, others = [], []
    owner = owner_of(visit.request, visit.who)
    for record in visit.desk.workshop.shelf.all():
        if record.owner == owner:
            mine.append(record)
        elif _may_see(visit, record):
            others.append(record)
    return visit.page(
        "imports.html",
        status,
        mine=mine,
        others=others,
        problem=problem,
        channel=visit.given("channel"),
        channels=CHANNELS,
        most_bytes=MOST_BYTES,
    )


def _upload(visit: Visit) -> Response:
    channel, file = visit.given("channel"), visit.form.get("file")
    if channel not in CHANNELS:
        return _list(visit, 400, "choose whether they are numbers (sms) or addresses (email)")
    if not isinstance(file, UploadFile) or not file.size:
        return _list(visit, 400, "choose a CSV file that is not empty")
    if file.size > MOST_BYTES:
        return _list(visit, 413, f"the file is longer than {MOST_BYTES // 2**20} MiB: split it")
    owner, secret = mark_owner(visit.request, visit.who)
    record = Record(
        str(uuid.uuid4()), owner, visit.who.role, _file_name(file.filename or ""), channel, time.time()
    )
    shelf = visit.desk.workshop.shelf
    try:
        shelf.put(file.file, record)
        if len(columns_of(shelf.file(record), channel)) > MOST_COLUMNS:
            raise UnusableFile(f"it has more than {MOST_COLUMNS} columns: leave some out")
    except ShelfFull:
        return _list(
            visit, 503, f"{MOST_FILES} files are kept already: discard one, or wait until one is a day old"
        )
    except UnusableFile as error:
        shelf.drop(record.id)
        return _list(visit, 400, f"{record.file_name}: {error}")
    except OSError as error:
        log.warning("web.not_kept", problem=error.strerror)
        return _list(visit, 507, f"the file cannot be kept on the server: {error.strerror}")
    log.info("web.acted", action="upload", batch_id=record.id, bytes=file.size)
    response = visit.go(f"/imports/{record.id}")
    if visit.who.name:
        remember(visit.request, response, secret)
    return response


def _show(visit: Visit) -> Response:
    record, own = _find(visit)
    if not own or record.state != "draft":
        return visit.page(
            "import.html", record=record, own=own, parts=look_at_import(visit.desk, record.id, own=own)
        )
    return _draft(visit, record)


def _draft(
    visit: Visit, record: Record, status: int = 200, problems: dict[str, str] | None = None
) -> Response:
    """Return the form as it was filled in, and the first rows as they would be read."""
    filled = look_at(record, visit.desk.workshop.shelf)
    rows = _preview(visit, record, filled)
    return visit.page(
        "import_draft.html",
        status,
        record=record,
        filled=filled,
        # Before anybody has filled in anything, nothing is wrong with it.
        problems=(filled.problems if record.chosen else {}) if problems is None else problems,
        known=list(known_columns(record.channel)),
        rows=rows,
        parts=look_at_import(visit.desk, record.id, own=True),
    )


def _preview(visit: Visit, record: Record, filled: FilledIn) -> list[PreviewRow]:
    if {"columns", "country"} & set(filled.problems):
        return []
    rows = preview(record, visit.desk.workshop.shelf)
    # The page shows people's numbers, only to whoever uploaded the file; the log notes it.
    log.warning("web.shown", batch_id=record.id, rows=len(rows))
    return rows


def _change(visit: Visit) -> Response:
    with visit.desk.workshop.changing:
        return _changed(visit)


def _changed(visit: Visit) -> Response:
    """Keep what was filled in, and check the file, list the groups, or begin."""
    record = _own(visit)
    shelf, workshop = visit.desk.workshop.shelf, visit.desk.workshop
    action = visit.given("do")
    if record.state == "draft":
        note_choices(visit, record, shelf)
        problems = look_at(record, shelf).problems
        shelf.save(record)
        if action == "groups":
            workshop.list_groups(record.channel)
            return visit.go(f"/imports/{record.id}#group")
        if action == "check":
            # The group makes no difference to how the rows are read.
            problems.pop("group", None)
        if problems:
            return _draft(visit, record, 400, problems)
        if action == "check":
            workshop.check(record)
            return visit.go(f"/imports/{record.id}#rows")
    if action != "begin" or record.state not in {"draft", "stopped"}:
        return visit.go(f"/imports/{record.id}", "Nothing was done: the import is under way, or has ended.")
    workshop.begin(record)
    log.info("web.acted", action="import", batch_id=record.id)
    return visit.go(f"/imports/{record.id}")


def _halt(visit: Visit) -> Response:
    record = _stoppable(visit, "stop this")
    halted = visit.desk.workshop.halt(record)
    log.info("web.acted", action="halt", batch_id=record.id, changed=halted)
    said = "The import stops; the jobs that are enqueued go on." if halted else "Nothing is under way."
    return visit.go(f"/imports/{record.id}", said)


def _discard(visit: Visit) -> Response:
    record = _stoppable(visit, "discard it")
    visit.desk.workshop.drop(record.id)
    log.info("web.acted", action="discard", batch_id=record.id)
    return visit.go("/imports", "The file is discarded. Jobs that were enqueued go on.")


def _stoppable(visit: Visit, do: str) -> Record:
    """Return the import that the path names. Raise Refused if the visitor may not stop it, or another process carries it out."""
    record, own = _find(visit)
    if not own and visit.who.role != "operator":
        raise Refused(403, f"only the person who uploaded the file, or an operator, may {do}")
    if visit.desk.workshop.is_elsewhere(record):
        raise Refused(409, f"{ELSEWHERE}, and only that process can stop it")
    return record


def _download(visit: Visit) -> Response:
    record, kind = _own(visit), visit.request.path_params["kind"]
    workshop = visit.desk.workshop
    if kind not in workshop.files_of(record):
        raise Refused(404, "there is no such file, or it is still being written")
    log.warning("web.acted", action="download", batch_id=record.id, file=kind)
    return FileResponse(
        workshop.shelf.path(record, kind),
        media_type="text/csv; charset=utf-8",
        filename=f"{PurePath(record.file_name).stem}.{kind}",
    )


async def _live(visit: Visit) -> Response:
    record, own = _find(visit)
    look = partial(look_at_import, visit.desk, record.id, own=own)
    live = visit.desk.lives.of(f"{record.id} {own}", look)
    return await stream(live, visit.request, visit.who, visit.desk.door.sessions)


def _find(visit: Visit) -> tuple[Record, bool]:
    """Return the import that the path names, and whether the visitor may see its rows."""
    record = visit.desk.workshop.shelf.get(visit.request.path_params["id"])
    if record is None:
        raise Refused(404, GONE)
    own = record.owner == owner_of(visit.request, visit.who)
    if not own and not _may_see(visit, record):
        raise Refused(404, GONE)
    return record, own


def _own(visit: Visit) -> Record:
    record, own = _find(visit)
    if not own:
        raise Refused(403, "only the person who uploaded the file can see its rows")
    return record


def _may_see(visit: Visit, record: Record) -> bool:
    """Return whether a visitor may see how far somebody else's import is: an importer sees only the imports of importers."""
    return record.state != "draft" and visit.who.role in {"operator", record.role}


def _file_name(told: str) -> str:
    """Return the name of a file as it can be shown: what browsers send is a name, but programs may send a path, or anything."""
    name = PurePath(told.replace("\\", "/")).name
    return "".join(c for c in name if c.isprintable())[:LONGEST_NAME] or "file.csv"


PAGE: Final = Page(
    "Import",
    "/imports",
    {
        "/imports": {
            "GET": Action(_list),
            "POST": Action(_upload, most_bytes=MOST_BYTES + FORM_BYTES, seconds=UPLOAD_SECONDS),
        },
        "/imports/{id}": {"GET": Action(_show), "POST": Action(_change)},
        "/imports/{id}/live": {"GET": Action(_live)},
        "/imports/{id}/halt": {"POST": Action(_halt)},
        "/imports/{id}/discard": {"POST": Action(_discard)},
        "/imports/{id}/{kind}": {"GET": Action(_download)},
    },
    roles=frozenset({"operator", "importer"}),
)
