"""`enqueue`: every option, what it prints, and its exit codes."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any, Literal

import pytest
from pydantic import Field

from actors import JOBS, Job
from actors.list_groups import ListGroups
from tests.harness import House
from workers.cli.job_options import job_options


def queued(house: House, queue: str) -> list[dict[str, Any]]:
    ids: Any = house.redis.lrange(f"dramatiq:{queue}", 0, -1)
    bodies: Any = house.redis.hmget(f"dramatiq:{queue}.msgs", ids)
    return [json.loads(body) for body in bodies]


def test_every_option_becomes_its_argument(house: House, tmp_path: Path) -> None:
    common = ["--idempotency-key", "k 1", "--correlation-id", "c é", "--deadline-seconds", "90"]
    shared = {"idempotency_key": "k 1", "correlation_id": "c é", "deadline_seconds": 90}
    done = house.run(
        *(
            "enqueue",
            "add_contact",
            "--channel",
            "sms",
            "--group-id",
            "gro_119251",
            "--phone",
            "+32 470 12 34 56",
        ),
        *("--first-name", "Zoë", "--last-name", "Ünal", "--custom-field", "1=a=b", "--custom-field", "7="),
        *common,
    )
    assert (done.returncode, done.stderr) == (0, "")
    (message,) = queued(house, "contacts")
    assert done.stdout == f"{message['message_id']}\n"
    assert uuid.UUID(message["message_id"])
    assert message["kwargs"] == {
        "channel": "sms",
        "group_id": "gro_119251",
        "phone": "+32 470 12 34 56",
        "first_name": "Zoë",
        "last_name": "Ünal",
        "custom_fields": {"1": "a=b", "7": ""},
        **shared,
    }
    assert set(message) == {
        "queue_name", "actor_name", "args", "kwargs", "options", "message_id", "message_timestamp",
    }  # fmt: skip
    assert (message["actor_name"], message["queue_name"], message["args"]) == ("add_contact", "contacts", [])

    done = house.run("enqueue", "create_group", "--channel", "email", "--name", "Pizza", "--json")
    assert json.loads(done.stdout) == {"message_id": queued(house, "groups")[0]["message_id"]}
    assert queued(house, "groups")[0]["kwargs"] == {"channel": "email", "name": "Pizza"}

    body = {"id": "evt_1", "type": "coupon_claimed"}
    file = tmp_path / "body.json"
    file.write_text(json.dumps(body), encoding="utf-8")
    assert house.run("enqueue", "verify_webhook", "--payload", str(file)).returncode == 0
    assert house.run("enqueue", "verify_webhook", "--payload", "-", stdin=json.dumps(body)).returncode == 0
    assert house.run("enqueue", "verify_webhook", "--webhook-id", "evt_1").returncode == 0
    assert [m["kwargs"] for m in queued(house, "webhooks")] == [{"payload": body}] * 2 + [
        {"webhook_id": "evt_1"}
    ]


@pytest.mark.parametrize("job", JOBS)
def test_every_argument_of_a_job_has_an_option_whose_help_says_something(job: str) -> None:
    options = job_options(JOBS)
    for argument in JOBS[job].model_fields:
        assert not options[argument].help.startswith("for "), (
            f"{job}.{argument} has neither a description nor an example: give its Field one"
        )
        assert options[argument].flag.removeprefix("--").replace("-", "_") in {argument, argument[:-1]}


def test_a_new_job_needs_no_line_of_the_command() -> None:
    class PrintCoupons(ListGroups):
        """A job that does not exist."""

        colours: dict[str, str]
        copies: int | None = Field(None, description="How many of each.")
        layout: dict[str, Any] | None = None
        paper: Literal["A4", "A5"]

    options = job_options({**JOBS, "print_coupons": PrintCoupons})
    own = list(PrintCoupons.model_fields)[-4:]
    assert [(options[name].flag, options[name].form, options[name].help) for name in own] == [
        ("--colour", "pairs", "may be given several times; for print_coupons."),
        ("--copies", "number", "How many of each; for print_coupons."),
        ("--layout", "json", "JSON from a file or standard input; for print_coupons."),
        ("--paper", "text", "A4 or A5; for print_coupons."),
    ]
    assert list(options)[-len(Job.model_fields) :] == list(Job.model_fields)

    class Unwritable(ListGroups):
        """A job with an argument that no command line can give."""

        names: list[str]

    with pytest.raises(TypeError, match="'names'"):
        job_options({"unwritable": Unwritable})


@pytest.mark.parametrize(
    ("arguments", "lines"),
    [
        (
            ["add_contact", "--channel", "sms", "--phone", "0470"],
            ["--group-id: is required", "--phone: must be E.164: '+', then 7 to 15 digits"],
        ),
        (
            [
                "add_contact",
                "--channel",
                "sms",
                "--group-id",
                "gro_1",
                "--phone",
                "+32470123456",
                "--custom-field",
                "8=x",
            ],
            ["--custom-field 8: must be one of '1' to '7'"],
        ),
        (
            ["create_group", "--channel", "fax", "--name", " "],
            ["--channel: must be 'sms' or 'email'", "--name: must be 1 to 255"],
        ),
        (
            ["list_groups", "--channel", "sms", "--group-id", "gro_1"],
            ["--group-id: is not an argument of list_groups"],
        ),
        (["verify_webhook"], ["--payload: is required unless --webhook-id is given"]),
    ],
)
def test_wrong_arguments_are_one_line_each_and_exit_2(
    house: House, arguments: list[str], lines: list[str]
) -> None:
    # Redis is not even asked: what is wrong is told before.
    done = house.run("enqueue", *arguments, REDIS_URL="redis://127.0.0.1:1/0")
    assert (done.returncode, done.stdout) == (2, "")
    said = done.stderr.splitlines()
    assert len(said) == len(lines), said
    for line, start in zip(said, lines, strict=True):
        assert line.startswith(start)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["fly_to_moon"], "fly_to_moon"),
        (["add_contact", "--custom-field", "gold"], "must be N=TEXT"),
        (["add_contact", "--custom-field", "1=gold", "--custom-field", " 1=silver"], "names 1 twice"),
        (["verify_webhook", "--payload", "/nonexistent/body.json"], "cannot be read"),
        (["verify_webhook", "--payload", "-"], "is not JSON"),
        (["list_groups", "--deadline-seconds", "soon"], "must be a whole number; got 'soon'"),
        (["list_groups", "--colour", "red"], "--colour"),
    ],
)
def test_wrong_usage_exits_2(house: House, arguments: list[str], told: str) -> None:
    done = house.run("enqueue", *arguments, stdin="{")
    assert (done.returncode, done.stdout) == (2, "")
    assert told in done.stderr
    assert "Traceback" not in done.stderr


def test_wait_prints_the_answer_and_exits_with_it(house: House) -> None:
    house.worker()
    made = house.run("enqueue", "create_group", "--channel", "sms", "--name", "Pizza", "--wait", "--json")
    assert made.returncode == 0
    first, event = [json.loads(line) for line in made.stdout.splitlines()]
    assert event == house.answer(first["message_id"])
    group_id = event["data"]["group_id"]

    shown = house.run(
        "enqueue",
        "add_contact",
        "--channel",
        "sms",
        "--group-id",
        group_id,
        "--phone",
        "+32470123456",
        "--wait",
    )
    assert shown.returncode == 0
    assert "contact.added" in shown.stdout
    assert group_id in shown.stdout

    house.sandbox.add_contacts("sms", group_id, count=600)
    pages = house.run(
        "enqueue", "list_contacts", "--channel", "sms", "--group-id", group_id, "--wait", "--json"
    )
    assert [json.loads(line)["data"]["page"] for line in pages.stdout.splitlines()[1:]] == [1, 2]

    failed = house.run(
        "enqueue", "list_contacts", "--channel", "sms", "--group-id", "gro_7", "--wait", "--json"
    )
    assert failed.returncode == 1
    assert json.loads(failed.stdout.splitlines()[-1])["data"]["error"]["code"] == 514

    rejected = house.run("enqueue", "verify_webhook", "--webhook-id", "evt_1", "--wait")
    assert rejected.returncode == 0
    assert "not_found" in rejected.stdout


def test_a_redis_that_is_not_there_is_one_sentence(house: House) -> None:
    done = house.run(
        "enqueue", "list_groups", "--channel", "sms", REDIS_URL="redis://:hidden-word@127.0.0.1:1/0"
    )
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("Redis does not answer: ")
    assert "hidden-word" not in line


def test_a_redis_that_says_no_is_not_told_as_silent(house: House) -> None:
    of_nobody = house.server.url.replace("//", "//nobody:hidden-word@")
    wrong_password = house.run("enqueue", "list_groups", "--channel", "sms", REDIS_URL=of_nobody)
    house.redis.set("dramatiq:reads", "somebody else's")
    wrong_type = house.run("enqueue", "list_groups", "--channel", "sms")
    for done in (wrong_password, wrong_type):
        assert (done.returncode, done.stdout) == (1, "")
        (line,) = done.stderr.splitlines()
        assert line.startswith("Redis refuses: ")
        assert "hidden-word" not in line


def test_the_waiting_ends_in_time_though_redis_takes_no_job(fragile_house: House, tmp_path: Path) -> None:
    """It went on for five minutes, whatever the time-out."""
    fragile_house.redis.config_set("maxmemory", "1kb")
    lines = tmp_path / "jobs.jsonl"
    lines.write_text('{"job": "list_groups", "channel": "sms"}\n')
    for job in (["list_groups", "--channel", "sms"], ["--file", str(lines)]):
        done = fragile_house.run("enqueue", *job, "--wait", "--timeout", "1")
        assert (done.returncode, done.stdout) == (3, "")
        assert done.stderr.splitlines()[-1].startswith(
            "Redis did not confirm the job within 1 s: Redis refuses: "
        )
