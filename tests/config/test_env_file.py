"""Around the settings: who may write `.env`, unreadable lines, misspelt names, quotes."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path

import pytest

from config import Settings, SettingsError, load_settings, redact_text
from config.env_file import oddities
from tests.harness.commands import Done

ROOT = Path(__file__).parents[2]
CREDENTIALS = {"COUPONTOOLS_CLIENT_ID": "i", "COUPONTOOLS_CLIENT_SECRET": "very-hidden"}


@pytest.fixture(autouse=True)
def _clean_place(monkeypatch, tmp_path):
    for name in Settings.names():
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def cli(as_process):
    """Run a command in the test's folder, with a REDIS_URL at which nobody listens."""

    def cli(*arguments: str, **settings: str) -> Done:
        kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        environment = {**kept, "PYTHONPATH": str(ROOT), "REDIS_URL": "redis://127.0.0.1:1/0", **settings}
        return as_process(*arguments, environment=environment)

    return cli


def test_run_refuses_a_file_that_anybody_may_write_and_others_warn(cli, tmp_path):
    file = tmp_path / ".env"
    file.write_text("WORKER_PROCESSES=0\n")
    file.chmod(0o666)
    done = cli("run", **CREDENTIALS)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == ".env: must not be writable by everybody; run chmod o-w .env\n"
    file.write_text("WORKER_PROCESSES=1\n")
    for command in ("check", "pause", "resume"):
        looked = cli(command)
        assert looked.returncode == 1
        assert looked.stderr.splitlines()[0] == (
            "warning: .env: anybody on this machine may write it; run chmod o-w .env"
        )
    file.chmod(0o664)
    assert load_settings(require_credentials=False).worker_processes == 1
    assert ".env" not in cli("check").stderr


def test_a_misspelt_setting_is_told_with_the_nearest_name(monkeypatch, tmp_path):
    (tmp_path / ".env").write_text(
        "REDIS_ULR=redis://elsewhere\nexport job_deadline_second=5\nEXTRA_PACKAGES=x\nLOG_LEVEL=info\n"
    )
    monkeypatch.setenv("WORKER_CONCURENCY", "5")
    # Other programs' variables, and one of our settings in small letters: none of them is a misspelling.
    for name in ("REDIS_HOST", "WORKERS", "SECRET", "HOME_DIR", "DRAMATIQ_PORT", "worker_processes"):
        monkeypatch.setenv(name, "5")
    assert oddities(Settings.names()) == [
        "REDIS_ULR: is no setting and is ignored; REDIS_URL is one",
        "WORKER_CONCURENCY: is no setting and is ignored; WORKER_CONCURRENCY is one",
        "job_deadline_second: is no setting and is ignored; JOB_DEADLINE_SECONDS is one",
    ]


def test_no_setting_is_taken_for_another_one(monkeypatch):
    for name in Settings.names():
        monkeypatch.setenv(name, "5")
    assert oddities(Settings.names()) == []


def test_a_line_that_cannot_be_read_is_one_warning(cli, tmp_path):
    (tmp_path / ".env").write_text("LOG_LEVEL=info\nnot a setting\n")
    done = cli("check")
    assert done.stderr.splitlines()[0] == "warning: .env: line 2 cannot be read and is ignored"
    assert "python-dotenv" not in done.stderr


def test_what_is_odd_is_one_json_line_of_run(cli, tmp_path):
    (tmp_path / ".env").write_text("not a setting\n")
    # The metrics port is taken, so `run` ends right after its warnings.
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = cli("run", LOG_FORMAT="json", METRICS_PORT=port, REDIS_ULR="x", **CREDENTIALS)
    assert done.returncode == 2
    lines = [json.loads(line) for line in done.stderr.splitlines() if line.startswith("{")]
    assert [(line["level"], line["event"], line["problem"]) for line in lines] == [
        ("warning", "settings.odd", ".env: line 1 cannot be read and is ignored"),
        ("warning", "settings.odd", "REDIS_ULR: is no setting and is ignored; REDIS_URL is one"),
    ]


@pytest.mark.parametrize("quote", ["'", '"'])
def test_quotes_that_docker_hands_on_are_no_part_of_a_setting(monkeypatch, tmp_path, quote):
    monkeypatch.setenv("COUPONTOOLS_CLIENT_SECRET", f"{quote}very-hidden{quote}")
    monkeypatch.setenv("COUPONTOOLS_RATE_LIMIT", f"{quote}2.5{quote}")
    (tmp_path / "COUPONTOOLS_CLIENT_ID").write_text(f"{quote}me{quote}\n")
    monkeypatch.setenv("SECRETS_DIR", str(tmp_path))
    settings = load_settings()
    assert settings.coupontools_client_secret.get_secret_value() == "very-hidden"
    assert (settings.coupontools_client_id, settings.coupontools_rate_limit) == ("me", 2.5)
    assert redact_text("sent very-hidden") == "sent •••"


def test_a_single_quote_is_a_character_like_others(monkeypatch):
    monkeypatch.setenv("COUPONTOOLS_CLIENT_SECRET", "'hidden")
    assert load_settings(require_credentials=False).coupontools_client_secret.get_secret_value() == "'hidden"
    monkeypatch.setenv("COUPONTOOLS_CLIENT_SECRET", "''")
    monkeypatch.setenv("COUPONTOOLS_CLIENT_ID", "me")
    with pytest.raises(SettingsError, match="COUPONTOOLS_CLIENT_SECRET: is required"):
        load_settings()
