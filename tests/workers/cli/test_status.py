"""`status`: what it tells, and that it never reads jobs to tell it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time

import pytest

from actors import JOBS
from config import load_settings
from config.keys import Keys
from tests.harness import House, message, wait_for
from tests.harness.holds import put_hold
from workers.other_queues import find_other_queues
from workers.state import read_state

QUEUES = {queue for job in JOBS.values() for queue in (job.queue, *job.also)}

PLACES = ("ready", "delayed", "running", "parked")


def told(command, **settings: object) -> dict:
    done = command("status", "--json", **settings)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_an_empty_house(command):
    state = told(command, COUPONTOOLS_RATE_LIMIT="12.5")
    nothing = {"ready": 0, "delayed": 0, "running": 0, "parked": 0, "dead": 0, "oldest_seconds": None}
    nothing |= {"per_minute": 0, "left_seconds": 0}
    assert state == {
        "queues": dict.fromkeys(QUEUES, nothing),
        "workers": [],
        "holds": [],
        "rate": 12.5,
        "redis": {"writable": True, "forgot_at": None, "warnings": []},
    }
    table = command("status")
    assert table.returncode == 0
    assert "no worker is running" in table.stdout
    assert "nothing is held" in table.stdout


def test_everything_is_counted_where_it_is(house: House, command):
    redis, now = house.redis, time.time() * 1000
    house.enqueue_many("add_contact", [{"n": number} for number in range(7)])
    redis.zadd("coupontools:delayed:contacts", {"a": now + 60_000, "b": now + 70_000, "due": now - 1})
    redis.sadd("coupontools:parked:mine", "sms/refused|contacts|add_contact")
    redis.zadd("coupontools:parked:mine:sms/refused|contacts|add_contact", {"i": now, "j": now})
    redis.rpush("dramatiq:contacts.DQ", "c")
    redis.zadd("dramatiq:webhooks.XQ", {"d": now, "e": now})
    # The first has a place for one of the two that it has fetched; the second is dead.
    for worker, seen in (("one", now + 600_000), ("two", now - 25_000)):
        redis.zadd("dramatiq:__heartbeats__", {worker: seen})
        redis.hset(
            "coupontools:workers",
            worker,
            json.dumps(
                {
                    "queues": sorted(QUEUES),
                    "host": "h",
                    "pid": 1,
                    "account": "mine",
                    "in_flight": {"groups": 1},
                }
            ),
        )
    redis.sadd("dramatiq:__acks__.one.groups", "f", "g")
    redis.sadd("dramatiq:__acks__.two.groups", "h")
    # Half a minute ago the first of 50 was answered: 100 a minute.
    for ago, counts in ((60_000, {"contacts|succeeded": 30}), (0, {"contacts|failed:rejected": 20})):
        first = {"contacts|first": round(now - 30_000)}
        redis.hset(f"coupontools:minute:{int(now - ago) // 60_000}", mapping=counts | first)
    keys = Keys(account="mine")
    times = {"since": 1_699_999_999_000, "retry_at": 1_700_000_000_123}
    put_hold(redis, keys, "account/refused", code="1000", message="not correct", **times)
    put_hold(redis, keys, "email/outage/add_contact", message="no answer", **times)
    state = told(command)
    contacts, groups = state["queues"]["contacts"], state["queues"]["groups"]
    assert 0 <= contacts.pop("oldest_seconds") < 60
    # What was delayed and is due is ready.
    pace = contacts.pop("per_minute")
    assert 1 < pace <= 101
    assert contacts.pop("left_seconds") == pytest.approx(10 * 60 / pace, abs=0.1)
    assert contacts == {"ready": 8, "delayed": 3, "running": 0, "parked": 2, "dead": 0}
    nothing = {"delayed": 0, "parked": 0, "dead": 0, "oldest_seconds": None}
    assert groups == {**nothing, "ready": 2, "running": 1, "per_minute": 0, "left_seconds": None}
    assert state["queues"]["webhooks"]["dead"] == 2
    assert [(worker["id"], worker["queues"]) for worker in state["workers"]] == [
        ("one", sorted(QUEUES)),
        ("two", sorted(QUEUES)),
    ]
    assert all(set(worker) == {"id", "queues", "seen_seconds_ago"} for worker in state["workers"])
    assert 25 <= state["workers"][1]["seen_seconds_ago"] < 80
    told_of_both = {
        "since": "2023-11-14T22:13:19.000Z",
        "retry_at": "2023-11-14T22:13:20.123Z",
        "worker": "here:1",
    }
    assert state["holds"] == [
        {"scope": "account", "kind": "refused", "code": 1000, "message": "not correct", **told_of_both},
        {"scope": "email", "kind": "outage", "code": None, "message": "no answer", **told_of_both},
    ]
    table = " ".join(command("status").stdout.split())
    assert "account held since 2023-11-14T22:13:19.000Z, refused (here:1): not correct (code 1000)" in table
    assert "the API does not answer" in table
    # A narrow terminal cuts no word and no number.
    narrow = command("status", COLUMNS=60).stdout
    assert "…" not in narrow
    assert all(len(line) <= 60 for line in narrow.splitlines())
    for name in ("webhooks", "groups", "contacts", "reads", "bulk", "a minute", "running"):
        assert name in narrow


def test_an_outage_of_several_kinds_of_call_is_one_hold_of_its_channel(house: House, command):
    """An outage was one entry for each kind of call, and only their messages told the entries apart."""
    keys = Keys(account="mine")
    for number, call in enumerate(("create_group", "add_contact", "list_groups")):
        times = {"since": 1_699_999_999_000 + number, "retry_at": 1_700_000_000_009 - number}
        put_hold(house.redis, keys, f"sms/outage/{call}", message=f"{call}: HTTP 503", **times)
    put_hold(house.redis, keys, "account/outage", message="no connection")
    put_hold(house.redis, keys, "account/outage/verify_webhook", message="no connection")
    for secret in ("one", "other"):
        put_hold(house.redis, keys, f"account/refused/{secret}", code="1000", message=secret, secret=secret)
    about = {"queues": sorted(QUEUES), "host": "h", "pid": 1, "account": "mine"}
    house.redis.hset("coupontools:workers", "one", json.dumps(about))
    house.redis.zadd("dramatiq:__heartbeats__", {"one": time.time() * 1000 + 600_000})
    holds = told(command)["holds"]
    assert [(hold["scope"], hold["kind"]) for hold in holds] == [
        ("account", "outage"),
        ("account", "refused"),
        ("account", "refused"),
        ("sms", "outage"),
    ]
    assert holds[0]["message"] == "no connection"
    assert holds[3]["message"] == "create_group: HTTP 503; add_contact: HTTP 503; list_groups: HTTP 503"
    assert holds[3]["since"] == "2023-11-14T22:13:19.000Z"
    assert holds[3]["retry_at"] == "2023-11-14T22:13:20.007Z"


def test_queues_that_no_worker_knows_are_shown(house: House, command):
    """A producer's `copy(queue_name="vip")`: nobody takes these jobs, and nothing told of them."""
    _, redis_id, body = message("create_group", {"channel": "sms", "name": "Pizza"}, queue_name="vip")
    house.push("vip", redis_id, json.dumps(body))
    house.redis.rpush("dramatiq:later.DQ", "one")
    house.redis.hset("dramatiq:later.DQ.msgs", "one", "{}")
    house.redis.hset("dramatiq:odd\x1b[2J.msgs", "one", "{}")
    house.redis.hset("dramatiqs:vip2.msgs", "one", "{}")
    house.worker(WORKER_HEARTBEAT_SECONDS=20)
    queues = told(command)["queues"]
    assert set(queues) == {*QUEUES, "vip", "later", "odd\x1b[2J"}
    assert (queues["vip"]["ready"], queues["later"]["delayed"]) == (1, 1)
    assert queues["vip"]["oldest_seconds"] is not None
    shown = command("status").stdout
    # The odd one has a message that stands in no list, which is a reason more to tell of it.
    assert "no worker takes what waits in later, odd" in " ".join(shown.split())
    assert ", vip" in shown
    assert "\x1b[2J" not in shown
    assert "no worker takes what waits in vip" in house.run("check", WORKER_HEARTBEAT_SECONDS=20).stderr


def test_it_says_where_it_could_not_look_at_all_keys(house: House, monkeypatch: pytest.MonkeyPatch):
    """Beside a million other keys, a misspelt queue was named by one `status` and not by the next, without a word."""
    monkeypatch.setattr("workers.other_queues.LOOKING_SECONDS", 0.0)
    monkeypatch.setattr("workers.other_queues.KEYS_A_STEP", 10)
    settings = load_settings(require_credentials=False)
    with house.redis.pipeline() as pipeline:
        for number in range(100):
            pipeline.set(f"else:{number}", "")
        pipeline.execute()
    cut = read_state(house.redis, settings, find_other_queues(house.redis, settings)).redis.warnings
    assert any("not all were looked at for queues that no worker knows" in warning for warning in cut)
    monkeypatch.undo()
    whole = read_state(house.redis, settings, find_other_queues(house.redis, settings)).redis.warnings
    assert not any("not all were looked at" in warning for warning in whole)


def test_the_pace_is_that_of_the_workers(house: House, command):
    house.worker(COUPONTOOLS_RATE_LIMIT=7)
    assert told(command, COUPONTOOLS_RATE_LIMIT=3)["rate"] == 7
    assert "pace: 7 requests a second" in command("status", COUPONTOOLS_RATE_LIMIT=3).stdout


def test_a_queue_with_work_that_no_worker_takes_is_told(house: House, command):
    patient = {"WORKER_HEARTBEAT_SECONDS": 20}
    house.worker("--queues", "reads", **patient)
    assert "no worker takes" not in command("status", **patient).stdout
    house.enqueue("create_group", channel="sms", name="Pizza")
    assert "no worker takes what waits in groups" in command("status", **patient).stdout
    checked = command("check", "--json", **patient)
    assert checked.returncode == 0
    assert "no worker takes what waits in groups" in json.loads(checked.stdout)["warnings"]


def test_check_warns_of_what_is_held(house: House, command):
    """`check` said only "healthy" while the account was refused or paused."""
    patient = {"WORKER_HEARTBEAT_SECONDS": 20}
    house.worker(**patient)
    assert command("pause", "--scope", "sms", "--reason", "moving house", **patient).returncode == 0
    checked = command("check", **patient)
    assert checked.returncode == 0
    assert "warning: sms held since" in checked.stderr
    assert "moving house" in checked.stderr
    (warning,) = json.loads(command("check", "--json", **patient).stdout)["warnings"]
    assert warning.startswith("sms held since")
    assert command("resume", "--scope", "sms", **patient).returncode == 0
    assert json.loads(command("check", "--json", **patient).stdout)["warnings"] == []


def test_a_worker_lives_by_its_own_heartbeat(house: House, command):
    """Another host, or an operator's machine, has another `WORKER_HEARTBEAT_SECONDS`, or none and so the default."""
    about = {"queues": ["groups"], "host": socket.gethostname(), "pid": 1, "account": "mine"}
    patient = {**about, "silence_ms": 600_000, "in_flight": {"groups": 1}}
    house.redis.hset("coupontools:workers", "patient", json.dumps(patient))
    house.redis.zadd("dramatiq:__heartbeats__", {"patient": time.time() * 1000 - 100_000})
    house.redis.sadd("dramatiq:__acks__.patient.groups", "f", "g")
    house.enqueue("create_group", channel="sms", name="Pizza")
    groups = told(command)["queues"]["groups"]
    assert groups["running"] == 1
    assert "no worker takes" not in command("status").stdout
    assert command("check").returncode == 0
    # One that is dead by its own is not waited for until it is by ours.
    hasty = json.dumps({**about, "silence_ms": 1000})
    house.redis.hset("coupontools:workers", "patient", hasty)
    assert "no worker takes what waits in groups" in command("status", WORKER_HEARTBEAT_SECONDS=600).stdout
    checked = command("check", WORKER_HEARTBEAT_SECONDS=600)
    assert checked.returncode == 1
    assert "no worker of this host was seen in the last 1 s" in checked.stderr


def test_the_age_of_what_waits_is_that_of_its_message(house: House, command):
    queue, redis_id, body = message("create_group", {}, message_timestamp=int(time.time() * 1000) - 90_000)
    house.push(queue, redis_id, json.dumps(body))
    for name, entry in (("reads", "no JSON"), ("webhooks", " " * (2**20 + 1))):
        house.push(name, "x", entry)
    queues = told(command)["queues"]
    assert 89 <= queues["groups"]["oldest_seconds"] < 150
    assert queues["reads"]["oldest_seconds"] is queues["webhooks"]["oldest_seconds"] is None


def test_a_worker_that_lives_and_may_not_fetch_is_told_with_the_reason(house: House, command):
    """Its heartbeats arrived, so that all seemed well while nothing was fetched."""
    patient = {"WORKER_HEARTBEAT_SECONDS": 20}
    house.worker(**patient)
    house.redis.execute_command("ACL", "SETUSER", "default", "-ltrim")
    try:
        house.enqueue("create_group", channel="sms", name="Pizza")
        checked = wait_for(
            lambda: done if (done := command("check", "--json", **patient)).returncode else None,
            what="check to fail",
            show=house.log_tail,
        )
        assert "takes no jobs: " in json.loads(checked.stdout)["problem"]
        assert "command" in json.loads(checked.stdout)["problem"]
        (warning,) = told(command, **patient)["redis"]["warnings"]
        assert warning.startswith("Redis does not serve ")
    finally:
        house.redis.execute_command("ACL", "SETUSER", "default", "+@all")
    wait_for(lambda: command("check", **patient).returncode == 0, what="check to pass", show=house.log_tail)


def test_a_job_that_is_only_tried_again_grows_old_and_a_delay_does_not(house: House, command):
    """Nobody saw a queue whose jobs all failed and were put off: its head was always young, or nothing was ready."""
    now = int(time.time() * 1000)
    for age, due, at in (
        (90, None, now + 60_000),
        (500, now + 60_000, now + 60_000),
        (400, now - 30_000, now),
    ):
        queue, redis_id, body = message("create_group", {}, message_timestamp=now - age * 1000)
        body["options"] |= {} if due is None else {"eta": due}
        house.redis.hset(f"dramatiq:{queue}.msgs", redis_id, json.dumps(body))
        house.redis.zadd("coupontools:delayed:groups", {redis_id: at})
    # The retry (90 s) is the oldest: of the two jobs with an eta, one is not due, and the other has been due for 30 s.
    assert 89 <= told(command)["queues"]["groups"]["oldest_seconds"] < 300


def test_no_more_jobs_are_read_however_many_wait(house: House, command):
    house.enqueue_many("add_contact", [{"n": number} for number in range(3000)])
    house.redis.config_resetstat()
    assert told(command)["queues"]["contacts"]["ready"] == 3000
    used = set(house.redis.info("commandstats"))
    assert "cmdstat_llen" in used
    # All queues at one moment, by one script; and how old the one job at the head of each is.
    constant = {"eval", "llen", "zcard", "zcount", "scard", "smembers", "hlen", "hkeys", "zrevrange", "time"}
    constant |= {"lindex", "zrange", "hstrlen", "hget", "srandmember"}
    # Workers and holds; and Redis itself: does it take writes, may it forget, did it?
    constant |= {"hgetall", "zmscore", "zadd", "info", "hmget", "mget"}
    # Names of keys, for queues that no worker knows.
    constant |= {"scan"}
    assert house.redis.info("commandstats")["cmdstat_hget"]["calls"] <= len(QUEUES)
    # The connection itself sends the others, or this test when it resets the counts.
    allowed = {f"cmdstat_{name}" for name in (*constant, "client", "hello", "config", "select")}
    assert {name.partition("|")[0] for name in used} <= allowed


def test_a_real_worker_and_a_real_hold(house: House, command):
    group = house.new_group()
    house.worker(COUPONTOOLS_CLIENT_SECRET="wrong-secret")
    house.enqueue_many(
        "add_contact",
        [{"channel": "sms", "group_id": group, "phone": f"+3247012{n:04}"} for n in range(5)],
    )
    wait_for(lambda: told(command)["holds"], what="the hold", show=house.log_tail)
    state = told(command)
    assert (state["holds"][0]["scope"], state["holds"][0]["code"]) == ("account", 1000)
    assert len(state["workers"]) == 1
    assert sum(state["queues"]["contacts"][place] for place in PLACES) == 5


def test_watch_goes_on_until_interrupted(house: House):
    with house.start("status", "--watch", "--json", streams={"text": True}) as watching:
        first = json.loads(watching.stdout.readline())
        house.enqueue("list_groups", channel="sms")
        wait_for(
            lambda: json.loads(watching.stdout.readline())["queues"]["reads"]["ready"] == 1,
            what="the second look",
        )
        watching.send_signal(signal.SIGINT)
        assert watching.wait(timeout=120) == 130
    assert first["queues"]["reads"]["ready"] == 0


def test_redis_away_is_one_line(house: House):
    done = house.run("status", REDIS_URL="redis://127.0.0.1:1/0")
    assert done.returncode == 1
    assert done.stderr.startswith("Redis does not answer")
    assert "Traceback" not in done.stderr


def test_a_health_check_and_a_status_load_no_api_client(house: House):
    code = "import sys; from workers.cli.main import build_app; build_app('check', 'status'); print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=240
    )
    assert not {"aiohttp", "dramatiq", "starlette", "httpx"} & set(done.stdout.split())


def test_a_full_redis_can_be_looked_at(fragile_house: House):
    fragile_house.enqueue("create_group", channel="sms", name="Pizza")
    fragile_house.redis.config_set("maxmemory", "1kb")
    done = fragile_house.run("status", "--json")
    assert done.returncode == 0, done.stderr
    state = json.loads(done.stdout)
    assert state["queues"]["groups"]["ready"] == 1
    assert state["redis"]["writable"] is False
    assert state["redis"]["warnings"][0].startswith("Redis takes no writes: ")


def test_watch_shows_each_look_where_nothing_can_be_drawn_over(house: House):
    """Rich's `Live` shows nothing but its last picture there, and only when the command ends."""
    watch = [sys.executable, "-m", "workers.cli", "status", "--watch"]
    with subprocess.Popen(watch, env=house.environment(), stdout=subprocess.PIPE, text=True) as watching:
        try:
            assert watching.stdout
            looks = (line for line in watching.stdout if line.startswith("nothing is held"))
            assert next(looks)
            assert next(looks)
        finally:
            watching.send_signal(signal.SIGINT)
        assert watching.wait(timeout=120) == 130


def test_a_hold_stands_before_the_workers(house: House, command):
    """`--watch` cuts off what a terminal has no lines for, and there may be many workers."""
    house.worker()
    wait_for(lambda: told(command)["workers"], what="the worker", show=house.log_tail)
    assert command("pause", "--reason", "the vendor moves house").returncode == 0
    # On a narrow terminal the reason may be wrapped, depending on how long the names of host and process are.
    shown = command("status", COLUMNS="200").stdout
    assert 0 < shown.index("the vendor moves house") < shown.index(told(command)["workers"][0]["id"])


def test_a_full_redis_is_told_as_the_reason_why_no_worker_is_seen(fragile_house: House):
    fragile_house.redis.config_set("maxmemory", "1kb")
    done = fragile_house.run("check")
    assert done.returncode == 1
    assert "Redis takes no writes" in done.stderr
    assert "no worker of this host was seen in the last 2 s: none can write that it is alive" in done.stderr


def test_no_worker_is_missed_where_none_can_tell_that_it_lives(fragile_house: House):
    """It sent operators to start a worker, while all of them waited for room in Redis."""
    worker = fragile_house.worker()
    later = round(time.time() * 1000) + 600_000
    queue, redis_id, body = message("list_groups", {"channel": "sms"})
    body["options"]["eta"] = later
    fragile_house.push(queue, redis_id, json.dumps(body))
    wait_for(
        lambda: json.loads(fragile_house.run("status", "--json").stdout)["queues"]["reads"]["delayed"],
        what="the delayed job",
        show=fragile_house.log_tail,
    )
    fragile_house.redis.config_set("maxmemory", "1")
    silent = "no worker of this host was seen"
    wait_for(
        lambda: silent in fragile_house.run("check").stderr,
        what="the silence",
        show=fragile_house.log_tail,
    )
    assert "no worker takes" not in fragile_house.run("check").stderr
    assert "no worker takes" not in fragile_house.run("status").stdout
    # The same of a job that no worker could fetch.
    fragile_house.redis.config_set("maxmemory", "0")
    for process in worker.children():
        os.kill(process, signal.SIGSTOP)
    waiting = fragile_house.enqueue("list_groups", channel="sms")
    fragile_house.redis.config_set("maxmemory", "1")

    def reason() -> str:
        return str(json.loads(fragile_house.run("job", waiting, "--json").stdout)["reason"])

    wait_for(lambda: "Redis takes no writes: " in reason(), what="the reason", show=reason)
