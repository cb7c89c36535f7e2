"""`import` from the first row to the last answer: what was added, what failed and why, who is there already, and going on after a stop."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from config.keys import Keys
from delivery import batch_key
from tests.harness import House, wait_for
from workers.imports.run import AT_ONCE

SUMMARY = {"batch_id", "rows", "enqueued", "refused", "repeated", "present"}
WITH_ANSWERS = SUMMARY | {"added", "replayed", "failed"}


def people(path: Path, count: int, name: str = "Ada", *more: str) -> Path:
    rows = [f"+3247{number:07},{name} {number}" for number in range(count)]
    path.write_text("\n".join(["phone,first_name", *rows, *more]) + "\n")
    return path


def summary(done: Any) -> dict[str, Any]:
    assert done.stdout, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def numbers(told: dict[str, Any]) -> list[int]:
    """All counts, in the order of the contract."""
    names = ("rows", "enqueued", "refused", "repeated", "present", "added", "replayed", "failed")
    return [told[name] for name in names if name in told]


def test_answers_are_followed_and_failed_rows_kept_as_they_were(house: House, command, tmp_path):
    group = house.new_group(contacts=[{"phone": "+32479999999"}])
    sms = ("--channel", "sms", "--group-id", group, "--json")
    house.sandbox.faults("envelope", code=301, endpoint="sms/addcontact", count=3)
    house.worker()
    path = people(
        tmp_path / "people.csv", 20, "Ada", "0470,wrong", "+32470000001,twice", "+32479999999,there"
    )
    taken = tmp_path / "people.failed.csv"
    taken.write_text("mine")
    done = command("import", str(path), *sms, "--wait", "--skip-present")
    told = summary(done)
    assert (done.returncode, set(told)) == (1, WITH_ANSWERS)
    assert numbers(told) == [23, 20, 1, 1, 1, 17, 0, 3]
    assert taken.read_text() == "mine"
    failed = tmp_path / "people.failed-2.csv"
    header, *rows = failed.read_text().splitlines()
    assert header == "phone,first_name,error"
    assert len(rows) == 3
    assert all(",Ada " in row and "rejected: " in row for row in rows)
    assert set(rows[0].split(",")[:2]) < {
        cell for line in path.read_text().splitlines() for cell in line.split(",")
    }
    # The contacts of dead letters can be had later, too, and either file is imported as it is.
    later = tmp_path / "later.csv"
    assert command("batches", told["batch_id"], "--failed", str(later)).returncode == 0
    assert len(later.read_text().splitlines()) == 4
    assert command("batches", told["batch_id"], "--failed", str(later)).returncode == 2
    done = command("batches", told["batch_id"], "--failed", str(tmp_path / ("n" * 300)))
    assert (done.returncode, "nnn: File name too long" in done.stderr) == (1, True)
    assert numbers(summary(command("import", str(failed), *sms, "--wait"))) == [3, 3, 0, 0, 0, 3, 0, 0]
    done = command("import", str(later), *sms, "--wait")
    assert (done.returncode, numbers(summary(done))) == (0, [3, 3, 0, 0, 0, 0, 3, 0])
    # Other names add nobody again: a conflict leaves no dead letter, and is told all the same.
    done = command("import", str(people(tmp_path / "new.csv", 20, "Eve")), *sms, "--wait")
    assert numbers(summary(done)) == [20, 20, 0, 0, 0, 0, 0, 20]
    rows = (tmp_path / "new.failed.csv").read_text().splitlines()[1:]
    assert len([row for row in rows if "conflict: this contact was added to the group before" in row]) == 20
    assert house.counts()["contacts"] == 21


def test_a_group_that_was_emptied_is_filled_again_if_that_is_asked_for(house: House, command, tmp_path):
    group = house.new_group("email")
    house.sandbox.settings(email_listing=True)
    house.worker()
    path = tmp_path / "people.csv"
    path.write_text("email\n" + "".join(f"a{number}@example.com\n" for number in range(5)))
    email = ("--channel", "email", "--group-id", group, "--wait")
    assert "5 added, 0 failed" in command("import", str(path), *email).stdout
    house.sandbox.reset()
    assert house.new_group("email", group_id=group) == group
    done = command("import", str(path), *email)
    assert done.returncode == 0
    assert "nobody was added: 5 contacts were added by an earlier job" in done.stdout
    assert "--again adds" in done.stdout
    assert (
        "5 contacts or more were added by an earlier job" in command("import", str(path), *email[:-1]).stdout
    )
    # Also where no client id is set: whose outcomes are asked for is told by the workers.
    unknown = {"COUPONTOOLS_CLIENT_ID": "", "COUPONTOOLS_CLIENT_SECRET": ""}
    done = command("import", str(path), *email[:-1], **unknown)
    assert "5 contacts or more were added by an earlier job" in done.stdout
    assert house.counts()["contacts"] == 0
    told = summary(command("import", str(path), *email, "--json", "--again", "--batch-id", "spring"))
    assert numbers(told) == [5, 5, 0, 0, 0, 5, 0, 0]
    # Whoever is there is not added again in any batch.
    told = summary(command("import", str(path), *email, "--json", "--again"))
    assert numbers(told) == [5, 0, 0, 0, 5, 0, 0, 0]
    assert house.counts()["contacts"] == 5
    # A listing that hides the addresses tells nobody who is there.
    house.sandbox.settings(email_listing=False)
    done = command("import", str(path), *email, "--skip-present")
    assert done.returncode == 1
    assert "does not show the whole email of 5 of 5 contacts" in done.stderr
    assert "nothing was enqueued" in done.stderr


def test_whom_again_added_first_is_not_added_twice_by_an_import_without_it(house: House, command, tmp_path):
    """Each job of `--again` had a key of its batch, so the next import knew nothing of the people whom no earlier job had added."""
    path = people(tmp_path / "people.csv", 2)
    wait = ("--channel", "sms", "--group-id", house.new_group(), "--wait", "--json")
    house.worker()
    first = summary(command("import", str(path), *wait, "--again"))
    assert (first["added"], first["replayed"]) == (2, 0)
    second = summary(command("import", str(path), *wait))
    assert (second["added"], second["replayed"]) == (0, 2)
    assert house.counts()["contacts"] == 2


def test_without_a_worker_nobody_knows_who_is_in_the_group(command, tmp_path):
    path = people(tmp_path / "people.csv", 1)
    done = command("import", str(path), "--channel", "sms", "--group-id", "gro_1", "--skip-present")
    assert (done.returncode, "no worker runs that takes such jobs" in done.stderr) == (1, True)
    done = command("import", str(path), "--channel", "sms", "--group-id", "gro_1", "--wait", "--dry-run")
    assert (done.returncode, "only looks at the file" in done.stderr) == (2, True)


def test_the_same_batch_enqueues_nobody_twice(house: House, command, tmp_path):
    arguments = ("--channel", "sms", "--group-id", "gro_1", "--batch-id", "spring")
    for count, total in ((3, 3), (3, 3), (5, 5)):
        done = command("import", str(people(tmp_path / "people.csv", count)), *arguments)
        assert f"{count} enqueued" in done.stdout
        assert house.redis.llen("dramatiq:bulk") == house.redis.hlen("dramatiq:bulk.msgs") == total
        assert json.loads(command("batches", "spring", "--json").stdout)["total"] == total
    # As long as a hold may keep its jobs.
    assert house.redis.ttl(batch(house)) > 89 * 86400


def test_a_batch_that_was_cancelled_takes_no_more(house: House, command, tmp_path):
    """Every row of it was enqueued, and answered as cancelled one by one, for 90 days."""
    path = people(tmp_path / "people.csv", 3)
    arguments = ("import", str(path), "--channel", "sms", "--group-id", "gro_1", "--batch-id", "spring")
    assert command(*arguments).returncode == 0
    assert command("cancel", "--batch", "spring").returncode == 0
    done = command(*arguments, "--wait")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "the batch spring was cancelled, and every job in it is answered as cancelled: import the file in a new batch; "
        "nothing was enqueued\n"
    )
    assert house.redis.llen("dramatiq:bulk") == 3


def test_a_stopped_import_whose_batch_was_cancelled_ends_its_batch_when_it_is_to_go_on(
    house: House, command, tmp_path
):
    """Nobody could say how many jobs it has any more: batch.finished never came, and its counts were kept for 90 days."""
    path = people(tmp_path / "people.csv", 3)
    arguments = ("import", str(path), "--channel", "sms", "--group-id", "gro_1", "--batch-id", "spring")
    assert command(*arguments).returncode == 0
    house.redis.hdel(batch(house), "size")
    assert command("cancel", "--batch", "spring").returncode == 0
    house.worker(WORKER_PROCESSES=1)
    wait_for(lambda: house.redis.hget(batch(house), "answered") == b"3", show=house.log_tail)
    assert command(*arguments).returncode == 1
    told = json.loads(command("events", "--id", "batch.finished/spring", "--json").stdout)["data"]
    assert (told["total"], told["failed"]) == (3, {"cancelled": 3})
    # Who tries every night does not keep the name from being free again.
    house.redis.expire(batch(house), 500)
    assert command(*arguments).returncode == 1
    assert house.redis.ttl(batch(house)) <= 500


def test_a_batch_s_name_may_be_used_again_once_the_counts_of_what_was_cancelled_are_gone(
    house: House, command, tmp_path
):
    path = people(tmp_path / "people.csv", 3)
    arguments = ("import", str(path), "--channel", "sms", "--group-id", "gro_1", "--batch-id", "spring")
    assert command("cancel", "--batch", "spring").returncode == 0
    assert command(*arguments).returncode == 1
    # As a month later.
    house.redis.hset("coupontools:cancelled", "b:spring", round(time.time() * 1000) - 1)
    for _ in range(2):
        done = command(*arguments)
        assert (done.returncode, "3 enqueued" in done.stdout) == (0, True), done
    assert json.loads(command("batches", "spring", "--json").stdout)["cancelled"] is False


def test_jobs_that_a_service_puts_into_the_batch_are_no_rows(house: House, tmp_path):
    """The command ended while rows waited, and told rows as added that were not."""
    group = house.new_group()
    house.sandbox.faults("envelope", code=301, endpoint="sms/addcontact", count=1)
    arguments = [sys.executable, "-m", "workers.cli", "import", str(people(tmp_path / "people.csv", 3))]
    arguments += ["--channel", "sms", "--group-id", group, "--batch-id", "spring", "--json", "--wait"]
    with (
        subprocess.Popen(
            arguments, env=house.environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as following,
        ExitStack() as stack,
    ):
        stack.callback(following.kill)
        counts = batch_key(Keys(), "spring")
        wait_for(lambda: house.redis.hget(counts, "size"), seconds=60, what="all rows are enqueued")
        house.worker("--queues", "contacts")
        own = {"channel": "sms", "group_id": group, "batch_id": "spring"}
        house.wait_answered(
            house.enqueue_many("add_contact", [own | {"phone": f"+3246000000{n}"} for n in range(5)])
        )
        assert house.tally() == {"contact.added": 4, "contact.failed": 1}
        assert following.poll() is None
        house.worker("--queues", "bulk")
        output, errors = following.communicate(timeout=240)
    assert following.returncode == 0, errors
    told = json.loads(output)
    assert (told["added"], told["failed"]) == (3, 0)
    wait_for(lambda: house.tally()["batch.finished"] == 1, what="batch.finished")
    finished = next(event for event in house.events() if event["type"] == "coupontools.batch.finished")[
        "data"
    ]
    assert (finished["total"], finished["succeeded"], finished["failed"]) == (8, 7, {"rejected": 1})


def test_a_command_whose_key_names_are_not_those_of_the_workers_changes_nothing(
    house: House, command, tmp_path
):
    """They carried the jobs of an import out and counted them under their own names: 0 of them were answered, for ever.

    And a pause was told as set, and held nobody.
    """
    path = people(tmp_path / "people.csv", 3)
    arguments = ("import", str(path), "--channel", "sms", "--group-id", "gro_1", "--batch-id", "spring")
    worker = house.worker()
    for names, setting in (
        ({"KEY_PREFIX": "other"}, "KEY_PREFIX"),
        ({"BROKER_NAMESPACE": "other"}, "BROKER_NAMESPACE"),
    ):
        for line in (
            arguments,
            ("enqueue", "list_groups", "--channel", "sms"),
            ("pause",),
            ("resume",),
            ("cancel", "--batch", "spring"),
            ("dead", "retry", "--all"),
            ("dead", "purge", "--yes"),
        ):
            done = command(*line, **names)
            assert (done.returncode, done.stdout) == (2, ""), line
            assert done.stderr.startswith(f"{setting}: workers run under ")
            assert done.stderr.endswith("; nothing was done\n")
        assert f"{setting}: workers run under " in command("check", **names).stderr
        assert f"{setting}: workers run under " in " ".join(command("status", **names).stdout.split())
    assert command(*arguments).returncode == 0
    # Where none runs, nobody knows what is to come.
    assert worker.terminate() == 0
    assert command(*arguments, KEY_PREFIX="other").returncode == 0


@pytest.mark.chaos
def test_an_import_that_was_stopped_goes_on_in_its_batch(fragile_house: House, tmp_path):
    """Killed while it enqueues, stopped by Ctrl-C while it waits, and while Redis is away: each row is one job of the batch."""
    house = fragile_house
    group = house.new_group()
    rows = 4 * AT_ONCE
    path = people(tmp_path / "people.csv", rows)
    arguments = [
        sys.executable,
        "-m",
        "workers.cli",
        "import",
        str(path),
        "--channel",
        "sms",
        "--group-id",
        group,
    ]
    arguments += ["--batch-id", "spring", "--json", "--wait"]

    def start() -> subprocess.Popen[str]:
        return subprocess.Popen(
            arguments, env=house.environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    with start() as first:
        wait_for(lambda: house.redis.llen("dramatiq:bulk") >= AT_ONCE, seconds=60, what="the first rows")
        first.kill()
    house.sandbox.faults("envelope", code=301, endpoint="sms/addcontact", count=2)
    worker = house.worker(COUPONTOOLS_RATE_LIMIT=100)
    with start() as second:
        wait_for(
            lambda: house.tally()["contact.added"] >= 20, seconds=60, what="answers", show=house.log_tail
        )
        wait_for(lambda: house.redis.hget(batch(house), "size"), seconds=60, what="all rows are enqueued")
        os.kill(second.pid, signal.SIGINT)
        output, errors = second.communicate(timeout=240)
    assert second.returncode == 130, errors
    told = json.loads(output)
    assert (set(told), told["enqueued"]) == (WITH_ANSWERS, rows)
    assert "the jobs go on" in errors
    assert "batches spring" in errors
    assert worker.terminate() == 0
    with start() as third:
        lines = iter(third.stderr.readline, "")
        assert any(f"of {rows:,} answered" in line for line in lines)
        house.server.kill()
        assert any("Redis does not answer" in line for line in lines)
        house.server.start()
        house.worker()
        output, errors = third.communicate(timeout=120)
    told = json.loads(output)
    # Two failed before it began, and were tried again: each row is added, and told once.
    assert numbers(told)[:5] == [rows, rows, 0, 0, 0]
    assert told["added"] + told["replayed"] == rows
    assert told["failed"] == 0
    assert house.counts()["contacts"] == house.tally()["contact.added"] == rows
    counted = json.loads(house.run("batches", "spring", "--json").stdout)
    assert (counted["total"], counted["answered"], counted["succeeded"]) == (rows + 2, rows + 2, rows)
    assert counted["failed"] == {"rejected": 2}


def batch(house: House) -> bytes:
    [key] = house.redis.scan_iter("coupontools:batch:*")
    return key


def test_a_full_redis_is_not_told_as_a_missing_worker(fragile_house: House, tmp_path):
    """While Redis takes no writes, no worker can tell that it lives."""
    fragile_house.redis.config_set("maxmemory", "1kb")
    path = people(tmp_path / "people.csv", 1)
    done = fragile_house.run("import", str(path), "--channel", "sms", "--group-id", "gro_1", "--skip-present")
    assert done.returncode == 1
    assert "Redis takes no writes: " in done.stderr
    assert "start one" not in done.stderr
    assert done.stderr.endswith("; nothing was enqueued\n")


def test_an_empty_name_is_no_batch_of_its_own(command, tmp_path):
    """A script whose variable is empty would get a new batch in place of the one that it meant."""
    path = people(tmp_path / "people.csv", 1)
    done = command("import", str(path), "--channel", "sms", "--group-id", "gro_1", "--batch-id", "")
    assert done.returncode == 2
    assert "--batch-id: must be 1 to 255 printable characters" in done.stderr
