"""How the commands start: settings that are wrong, the health check, the sandbox, and help that teaches."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from config.spared import SPARED
from tests.harness import House, wait_for
from tests.harness.commands import Done, run_command

COMMANDS = ["run", "demo", "sandbox", "receive", "enqueue", "events", "check"]


@pytest.fixture
def cli(as_process: Callable[..., Done]) -> Callable[..., Done]:
    """Runs a command to its end, in no other environment than what is given."""

    def cli(*arguments: str, **settings: str) -> Done:
        kept = {
            name: os.environ[name] for name in ("PATH", "HOME", "VIRTUAL_ENV", "TMPDIR") if name in os.environ
        }
        return as_process(*arguments, environment={**kept, **settings})

    return cli


def test_each_wrong_or_missing_setting_is_one_line_and_exit_2(cli: Callable[..., Done]) -> None:
    done = cli("run", COUPONTOOLS_RATE_LIMIT="fast", COUPONTOOLS_CLIENT_SECRET="very-hidden")
    assert (done.returncode, done.stdout) == (2, "")
    lines = done.stderr.splitlines()
    assert len(lines) == 2
    assert sorted(line.split(":")[0] for line in lines) == ["COUPONTOOLS_CLIENT_ID", "COUPONTOOLS_RATE_LIMIT"]
    assert "very-hidden" not in done.stderr


@pytest.mark.parametrize(
    "address", ["http://api.coupontools.com", "http://10.0.0.1:8080", "http://127.0.0.1.example.com"]
)
def test_plain_http_beyond_this_machine_is_refused(cli: Callable[..., Done], address: str) -> None:
    done = cli(
        "run",
        COUPONTOOLS_BASE_URL=address,
        COUPONTOOLS_CLIENT_ID="i",
        COUPONTOOLS_CLIENT_SECRET="very-hidden",
    )
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("COUPONTOOLS_BASE_URL: ")
    assert "loopback" in line


def test_an_unknown_queue_is_wrong_usage(house: House) -> None:
    done = house.run_process("run", "--queues", "contacts,moon")
    assert done.returncode == 2
    assert "there is no queue 'moon'" in done.stderr


@pytest.mark.parametrize(
    ("option", "value", "told"),
    [
        # One above the setting's own bound.
        ("--processes", "1025", "1024"),
        ("--concurrency", "100001", "100000"),
        ("--queues", ",", "names no queue"),
        ("--queues", "", "names no queue"),
    ],
)
def test_options_of_run_have_the_bounds_of_their_settings(
    cli: Callable[..., Done], option: str, value: str, told: str
) -> None:
    # Without credentials: were the option accepted, the run would end for want of them.
    credentials = (
        {} if option != "--queues" else {"COUPONTOOLS_CLIENT_ID": "i", "COUPONTOOLS_CLIENT_SECRET": "s"}
    )
    done = cli("run", option, value, COLUMNS="200", **credentials)
    assert (done.returncode, done.stdout) == (2, "")
    assert option in done.stderr
    assert told in done.stderr


def test_the_sandbox_refuses_a_port_that_does_not_exist() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "sandbox", "--port", "99999"],
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "cannot listen on 127.0.0.1, port 99999: a port is at most 65535\n"


def test_the_sandbox_says_as_json_where_it_listens() -> None:
    command = [sys.executable, "-m", "workers.cli", "sandbox", "--port", "0", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            told = json.loads(process.stdout.readline())
        finally:
            process.terminate()
        assert process.stderr
        assert process.stderr.read() == ""
    assert told["url"].startswith("http://127.0.0.1:")
    assert (told["client_id"], told["client_secret"]) == ("sandbox-id", "sandbox-secret")


def test_a_worker_of_some_queues_leaves_the_others_alone(house: House) -> None:
    group_id = house.new_group()
    contact = house.enqueue("add_contact", channel="sms", group_id=group_id, phone="+32470123456")
    house.worker("--queues", "reads, groups", "--concurrency", "2")
    listing = house.enqueue("list_groups", channel="sms")
    assert house.answer(listing)["data"]["total"] == 1
    assert house.answers(contact) == []
    assert house.redis.llen("dramatiq:contacts") == 1


def test_check_says_whether_a_worker_of_this_host_is_alive(house: House) -> None:
    none = house.run("check")
    assert (none.returncode, none.stdout) == (1, "")
    assert none.stderr.startswith("no worker of this host was seen")
    # Long enough between heartbeats that a busy machine does not look like a dead one.
    worker = house.worker(WORKER_HEARTBEAT_SECONDS=20)
    healthy = house.run("check", "--json", WORKER_HEARTBEAT_SECONDS=20)
    assert healthy.returncode == 0
    assert json.loads(healthy.stdout) == {"healthy": True, "workers": 1, "problem": None, "warnings": []}
    assert worker.terminate() == 0
    assert house.run("check", WORKER_HEARTBEAT_SECONDS=20).returncode == 1
    # Whoever enqueues with stock Dramatiq has a heartbeat, too, and is no worker.
    house.redis.zadd("dramatiq:__heartbeats__", {"a-producer": time.time() * 1000})
    assert house.run("check", "--any-host").returncode == 1
    assert json.loads(house.run("status", "--json").stdout)["workers"] == []
    gone = house.run("check", "--json", REDIS_URL="redis://127.0.0.1:1/0")
    assert gone.returncode == 1
    assert json.loads(gone.stdout)["problem"].startswith("Redis does not answer")


def test_check_names_what_is_wrong_with_redis(fragile_house: House) -> None:
    house = fragile_house
    house.worker(WORKER_HEARTBEAT_SECONDS=20)
    house.redis.config_set("appendonly", "no")
    warned = house.run("check", WORKER_HEARTBEAT_SECONDS=20)
    assert warned.returncode == 0
    assert warned.stderr == "warning: Redis forgets jobs when it is restarted: appendonly is no, set yes\n"
    house.redis.config_set("maxmemory-policy", "allkeys-lru")
    assert house.run("check", WORKER_HEARTBEAT_SECONDS=20).returncode == 0
    house.redis.config_set("maxmemory", "1gb")
    evicts = house.run("check", "--json", WORKER_HEARTBEAT_SECONDS=20)
    assert evicts.returncode == 1
    assert "maxmemory-policy is allkeys-lru" in json.loads(evicts.stdout)["problem"]
    house.redis.config_set("maxmemory-policy", "noeviction")
    house.redis.config_set("maxmemory", "1kb")
    full = house.run("check", WORKER_HEARTBEAT_SECONDS=20)
    assert full.returncode == 1
    assert "Redis takes no writes" in full.stderr


def test_sandbox_listens_where_it_says_and_ends_on_sigterm() -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "workers.cli", "sandbox", "--port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    ) as process:
        try:
            assert process.stdout
            address = process.stdout.readline().rsplit("//", maxsplit=1)[1].strip()
            connection = http.client.HTTPConnection(address, timeout=60)
            headers = {
                "X-Client-Id": "sandbox-id",
                "X-Client-Secret": "sandbox-secret",
                "Content-Type": "application/json",
            }
            connection.request("POST", "/v3/smstool/addgroup", json.dumps({"group_name": "Pizza"}), headers)
            assert json.loads(connection.getresponse().read())["groupid"] == 119251
            connection.close()
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=240) in {0, -signal.SIGTERM, 128 + signal.SIGTERM}
        finally:
            if process.poll() is None:
                process.kill()
    host, _, port = address.partition(":")

    def closed() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex((host, int(port))) != 0

    wait_for(closed, what="the port to be free")


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_each_command_teaches_by_an_example(command: str) -> None:
    done = run_command(command, "--help", environment={"COLUMNS": "100"})
    assert (done.returncode, done.stderr) == (0, "")
    assert "Example" in done.stdout
    assert f"coupontools-worker {command}" in done.stdout
    assert f"Usage: coupontools-worker {command}" in done.stdout


def test_the_root_lists_every_command_and_what_exit_codes_mean(cli: Callable[..., Done]) -> None:
    done = cli("--help", COLUMNS="100")
    for command in COMMANDS:
        assert f"│ {command} " in done.stdout
    assert "0 done, 1 failed or some of it failed, 2 wrong usage or settings, 3 the waiting" in done.stdout
    assert cli("--version").stdout.startswith("coupontools-worker 0.")


def test_an_unknown_command_is_wrong_usage(cli: Callable[..., Done]) -> None:
    unknown = cli("fly")
    assert (unknown.returncode, unknown.stdout) == (2, "")


COLLECTING = "gc.collecting"


def loaded_by(code: str, **settings: str) -> set[str]:
    """The modules that a new Python process has loaded when `code` has run, and COLLECTING if its garbage collector is at work."""
    report = (
        "import atexit, gc, sys\n"
        f"atexit.register(lambda: print('loaded', '{COLLECTING}' * gc.isenabled(), *sys.modules, sep='\\n'))\n"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", report + textwrap.dedent(code)],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(sys.path), **settings},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    _, found, modules = done.stdout.rpartition("loaded\n")
    assert found, done.stderr
    return set(modules.split())


API = {
    "aiohttp",
    "httpx",
    "dramatiq",
    "starlette",
    "actors",
    "coupontools",
    "delivery",
    "sandbox",
    "workers.broker",
}
#: uvicorn has a command line of its own.
NOT_SERVING = set(SPARED) - {"click"}
STARTS = {
    "--version": (
        "sys.argv = ['coupontools-worker', '--version']; from workers.cli import main; main()",
        {"workers.cli.version"},
        {
            *API,
            "typer",
            "rich",
            "pydantic",
            "redis",
            "structlog",
            "orjson",
            "asyncio",
            "config",
            "workers.cli.main",
        },
    ),
    "--help": (
        "sys.argv = ['coupontools-worker', '--help']; from workers.cli import main; main()",
        {"typer"},
        {*API, "pydantic", "redis", "structlog", "workers.cli.run", "workers.cli.demo"},
    ),
    "check": (
        "sys.argv = ['coupontools-worker', 'check']; from workers.cli import main; main()",
        {"redis", "pydantic", COLLECTING},
        {*API, "rich", "structlog", "workers.cli.run"},
    ),
    # Told to stop before it starts: the signal waits until the supervisor listens.
    "the supervisor": (
        """
        import os, signal
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
        os.kill(os.getpid(), signal.SIGTERM)
        from workers.supervisor import main
        assert main(["--processes=1", "--concurrency=1", "--queues=", "--shutdown-seconds=0", "--heartbeat-seconds=15",
                     "--log-format=json", "--log-level=INFO"]) == 0
        """,
        {"config.logging", "subprocess"},
        {
            *API,
            "typer",
            "rich",
            "pydantic",
            "redis",
            "structlog",
            "asyncio",
            "config.settings",
            "workers.cli",
        },
    ),
    "a worker process": (
        "import workers.process, coupontools.transport",
        {"aiohttp", "dramatiq", "httpx", "redis", "structlog", COLLECTING},
        {*SPARED, "wsgiref", "http.server", "typer"},
    ),
    "receive": ("import workers.cli.receive", {"redis", "structlog", "uvicorn"}, NOT_SERVING),
    "web": ("import workers.cli.web", {"redis", "structlog", "uvicorn"}, NOT_SERVING),
}


@pytest.mark.parametrize("start", STARTS)
def test_what_starts_often_or_lives_long_loads_only_what_it_needs(start: str) -> None:
    code, needed, heavy = STARTS[start]
    loaded = loaded_by(code, REDIS_URL="redis://127.0.0.1:1/0")
    assert needed <= loaded
    assert not heavy & loaded, (
        f"{start} loads {', '.join(sorted(heavy & loaded))}. Find who imports it with `python -X importtime`, and import it there"
        " inside the function that needs it, or take the name from a module that does without."
    )


def test_run_becomes_the_supervisor(house: House) -> None:
    """The memory of what has read the options and the settings is free while the worker runs."""
    house.for_real()
    worker = house.worker("--queues", "reads, groups")
    command = Path(f"/proc/{worker.process.pid}/cmdline").read_text(encoding="utf-8").split("\0")
    assert command[1:4] == ["-P", "-m", "workers.supervisor"]
    assert "--queues=reads,groups" in command
    assert str(house.sandbox.config.client_secret) not in " ".join(command)


@pytest.mark.parametrize("module", ["workers.cli.main", "workers.cli.status", "redis"])
def test_ctrl_c_while_modules_are_loaded_ends_without_a_word(module: str) -> None:
    code = f"""
import sys

class Interrupted:
    def find_spec(self, name, *_):
        if name == {module!r}:
            raise KeyboardInterrupt

sys.meta_path.insert(0, Interrupted())
sys.argv = ["coupontools-worker", "status"]
from workers.cli import main

main()
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=240
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


def test_the_page_says_in_one_line_that_its_folder_cannot_be_used(
    cli: Callable[..., Done], tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    shared = tmp_path / f"coupontools-worker-{os.getuid()}"
    shared.mkdir()
    shared.chmod(0o777)
    for place in ({"STATE_DIR": str(tmp_path / "file")}, {"TMPDIR": str(tmp_path)}):
        done = cli("web", "--port", "0", WEB_TOKEN="a-token-that-is-long-enough", **place)
        assert done.returncode == 2
        assert done.stderr.splitlines()[-1].startswith("STATE_DIR: ")
        assert "Traceback" not in done.stderr
