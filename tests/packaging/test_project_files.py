"""The files around the code say what the code does: settings, commands, lock files, images."""

from __future__ import annotations

import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
import yaml
from dotenv import dotenv_values

import workers.cli
from config import Settings, load_settings

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())


def load_lock_script():
    spec = importlib.util.spec_from_file_location("lock_script", ROOT / "scripts/lock.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def _no_settings(monkeypatch, tmp_path):
    for name in [*Settings.model_fields, "secrets_dir"]:
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.chdir(tmp_path)


def test_env_example_names_every_setting_once_with_its_meaning():
    lines = (ROOT / ".env.example").read_text().splitlines()
    names = [line.partition("=")[0] for line in lines if line and not line.startswith("#")]
    assert names == [name.upper() for name in Settings.model_fields]
    for name, field in Settings.model_fields.items():
        at = next(i for i, line in enumerate(lines) if line.startswith(f"{name.upper()}="))
        assert lines[at - 1] == f"# {field.description}"


@pytest.mark.usefixtures("_no_settings")
def test_env_example_holds_the_defaults(monkeypatch):
    defaults = Settings()
    for name, value in dotenv_values(ROOT / ".env.example").items():
        assert value is not None
        monkeypatch.setenv(name, value)
    assert load_settings(require_credentials=False) == defaults


def test_compose_keeps_what_was_enqueued():
    redis, worker = COMPOSE["services"]["redis"], COMPOSE["services"]["worker"]
    command = shlex.join(redis["command"])
    for option in ("--appendonly yes", "--appendfsync always", "--maxmemory-policy noeviction"):
        assert option in command
    assert worker["depends_on"]["redis"]["condition"] == "service_healthy"
    assert (
        float(worker["stop_grace_period"].removesuffix("s"))
        > Settings.model_fields["shutdown_seconds"].default
    )
    assert COMPOSE["services"]["sandbox"]["profiles"] == ["sandbox"]


def test_compose_takes_the_redis_of_the_env_file_and_bounds_memory_and_logs():
    services = COMPOSE["services"]
    assert services["worker"]["environment"]["REDIS_URL"] == "${REDIS_URL:-redis://redis:6379/0}"
    # Otherwise a copy of .env.example would make the worker's container look for Redis inside itself.
    assert dotenv_values(ROOT / ".env.example")["REDIS_URL"] == ""
    for service in services.values():
        assert service["mem_limit"]
        assert service["logging"]["options"]["max-size"]


def test_every_image_is_named_by_its_digest():
    base = next(
        line for line in (ROOT / "Dockerfile").read_text().splitlines() if "ARG PYTHON_IMAGE=" in line
    )
    images = [base, *(service["image"] for service in COMPOSE["services"].values() if "image" in service)]
    assert len(images) == 4
    for image in images:
        assert re.search(r"@sha256:[0-9a-f]{64}$", image), image
    assert re.search(r"=python:3\.(1[2-9]|[2-9]\d)\.", base)


@pytest.mark.parametrize(("name", "prefix", "port"), [("receive", "RECEIVER", 8080), ("web", "WEB", 8081)])
def test_compose_publishes_what_serves_http_to_this_machine_alone(name, prefix, port):
    service = COMPOSE["services"][name]
    assert service["command"] == [name]
    assert service["ports"] == [f"${{{prefix}_HOST:-127.0.0.1}}:${{{prefix}_PORT:-{port}}}:{port}"]
    assert service["environment"][f"{prefix}_HOST"] == "0.0.0.0"  # noqa: S104 - inside its container
    assert service["environment"][f"{prefix}_PORT"] == port
    assert f"127.0.0.1:{port}/health" in service["healthcheck"]["test"][-1]
    assert (
        float(service["stop_grace_period"].removesuffix("s"))
        > Settings.model_fields["shutdown_seconds"].default
    )


def commands() -> list[list[str]]:
    """Return every command line of ours that these files run."""
    procfile = [line.partition(":")[2] for line in (ROOT / "Procfile").read_text().splitlines()]
    services = COMPOSE["services"]
    return [
        # Without `exec`, a shell would stay in between and take the signals for itself.
        *(shlex.split(line.removeprefix(" exec ")) for line in procfile),
        *(["coupontools-worker", *services[name]["command"]] for name in ("sandbox", "receive", "web")),
        ["coupontools-worker", "check", "--live"],
    ]


@pytest.mark.parametrize("command", commands(), ids=shlex.join)
def test_commands_in_the_files_exist(command, as_process):
    script, subcommand, *options = command
    entry = EntryPoint(script, PROJECT["project"]["scripts"][script], "console_scripts")
    # `python -m workers.cli`, which runs below, calls the same function.
    assert entry.load() is workers.cli.main
    done = as_process(subcommand, "--help", environment={**os.environ, "COLUMNS": "200"})
    assert done.returncode == 0, done.stderr
    for option in options:
        if option.startswith("-"):
            assert option in done.stdout


def test_dockerfile_runs_as_an_ordinary_user_and_copies_every_package():
    text = (ROOT / "Dockerfile").read_text()
    assert "USER 10001" in text
    build, final = text.split("FROM ${PYTHON_IMAGE}")[1:]
    assert "/opt/worker/bin/python -m pip uninstall --yes pip" in build
    assert "python -m pip uninstall --yes pip" in final
    assert (
        'HEALTHCHECK --interval=30s --timeout=10s --start-period=20s --retries=3 CMD ["coupontools-worker", "check", "--live"]'
        in text
    )
    for pattern in PROJECT["tool"]["setuptools"]["packages"]["find"]["include"]:
        package = pattern.removesuffix("*")
        assert f"COPY {package} {package}\n" in text
        assert f"!{package}\n" in (ROOT / ".dockerignore").read_text()


def test_lock_files_match_and_a_change_is_noticed():
    lock = load_lock_script()
    assert lock.problems(PROJECT) == []
    changed = tomllib.loads((ROOT / "pyproject.toml").read_text())
    changed["dependency-groups"]["dev"].append("left-pad>=1")
    assert lock.problems(changed) == ["requirements/dev.lock does not match pyproject.toml; run make lock"]


def test_lock_files_hold_hashes_and_no_address(tmp_path, monkeypatch):
    lock = load_lock_script()
    for name in lock.LOCKS:
        text = (ROOT / f"requirements/{name}.lock").read_text()
        pins = [line for line in text.splitlines() if line and line[0] not in "# "]
        assert pins
        assert all("==" in pin and pin.endswith("\\") for pin in pins)
        (tmp_path / f"{name}.lock").write_text(text + "--extra-index-url https://registry.example/simple\n")
    monkeypatch.setattr(lock, "FOLDER", tmp_path)
    assert [sentence.partition(" holds")[0] for sentence in lock.problems(PROJECT)] == [
        f"requirements/{name}.lock" for name in lock.LOCKS
    ]


def test_make_explains_every_target():
    text = (ROOT / "Makefile").read_text()
    (phony,) = (line for line in text.splitlines() if line.startswith(".PHONY:"))
    shown = subprocess.run(
        ["make", "--no-print-directory"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    for target in phony.split()[1:]:
        assert f"make {target} " in shown


def test_ci_runs_the_checks_the_tests_and_a_minute_of_chaos():
    script = ROOT / ".ci/run"
    assert os.access(script, os.X_OK)
    commands = [line for line in script.read_text().splitlines() if line.startswith("make ")]
    assert commands == ["make check", "make test", "make stories", 'make chaos ARGS="--seed 1 --seconds 60"']


def test_the_wheel_holds_every_file(tmp_path):
    """The image installs the wheel: a file that the code reads at run time must not be missing there."""
    source = tmp_path / "source"
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    ignored = shutil.ignore_patterns("__pycache__")
    for package in ("actors", "config", "coupontools", "delivery", "sandbox", "workers"):
        shutil.copytree(ROOT / package, source / package, ignore=ignored)
    build = "from setuptools import build_meta; import sys; print(build_meta.build_wheel(sys.argv[1]))"
    done = subprocess.run(
        [sys.executable, "-c", build, str(tmp_path)],
        cwd=source,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        held = set(archive.namelist())
    needed = {
        path.relative_to(source).as_posix()
        for package in ("actors", "config", "coupontools", "delivery", "sandbox", "workers")
        for path in (source / package).rglob("*")
        if path.suffix in {".py", ".json", ".lua", ".typed", ".html", ".css", ".js", ".svg"}
    }
    assert needed <= held
