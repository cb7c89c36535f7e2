"""`import`: every right row becomes a job once, every wrong one is told, and it can be stopped anywhere."""

from __future__ import annotations

import csv
import json
import os
import re
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.harness import House, wait_for
from tests.harness.piped import DEVNULL, PIPE, STDOUT, Piped

SMS = ("--channel", "sms", "--group-id", "gro_1")


def jobs(house: House) -> list[dict[str, Any]]:
    """The arguments of every enqueued contact, in order."""
    ids = house.redis.lrange("dramatiq:bulk", 0, -1)
    return [json.loads(house.redis.hget("dramatiq:bulk.msgs", one))["kwargs"] for one in ids]


def numbered(path: Path, count: int) -> Path:
    with path.open("w") as file:
        file.write("phone,first_name\n")
        file.writelines(f"+3247{number:07},Ada {number}\n" for number in range(count))
    return path


@pytest.fixture
def importing(house: House) -> Iterator[Any]:
    """Starts `import` as a process, with its standard output and error in one text."""
    with ExitStack() as started:

        def start(path: Path, *arguments: str, of: House = house) -> Piped:
            streams = {"stderr": STDOUT, "text": True}
            return started.enter_context(of.start("import", str(path), *SMS, *arguments, streams=streams))

        yield start


def test_rows_become_contacts_and_a_second_import_adds_nobody(house: House, command, tmp_path):
    house.worker()
    group = house.new_group("email")
    path = tmp_path / "people.csv"
    path.write_text("Email;First_Name;custom10\nada@example.com;Zoë;gold\nbob@example.com;;\n", "utf-8-sig")
    for number in (1, 2):
        done = command("import", str(path), "--channel", "email", "--group-id", group)
        assert done.returncode == 0, done.stderr
        assert "2 rows read, 2 enqueued, 0 refused" in done.stdout
        # Two answers, and the end of their batch.
        wait_for(lambda n=number: len(house.events()) == 3 * n, what="the answers", show=house.log_tail)
    assert not (tmp_path / "people.refused.csv").exists()
    added = [event["data"] for event in house.events() if event["type"] == "coupontools.contact.added"]
    assert [data["replayed"] for data in added] == [False, False, True, True]
    assert house.counts()["contacts"] == 2
    assert {data["first_name"] for data in added} == {"Zoë", None}


def test_wrong_rows_are_told_and_can_be_mended(house: House, command, tmp_path):
    path = tmp_path / "people.csv"
    path.write_text(
        'phone,first_name,customfield1\n+32470000001,a,"two\nlines"\n0470,c\n+32470000002,"open\n+32470000009,swallowed"\n'
        "+32470000003,d\n,e\n"
    )
    done = command("import", str(path), *SMS, "--json")
    assert done.returncode == 1
    summary = json.loads(done.stdout)
    target = tmp_path / "people.refused.csv"
    assert {name: summary[name] for name in ("rows", "enqueued", "refused")} == {
        "rows": 6,
        "enqueued": 2,
        "refused": 4,
    }
    told = done.stderr.splitlines()
    assert [line.split(":")[0] for line in told] == ["line 4", "lines 5 to 6", "line 8"]
    assert "phone: must be E.164" in told[0]
    assert "is a quote missing" in told[1]
    assert "phone: is required" in told[2]
    assert [job["phone"] for job in jobs(house)] == ["+32470000001", "+32470000003"]

    with target.open(newline="") as file:
        header, *refused = csv.reader(file)
    assert header == ["phone", "first_name", "customfield1", "error"]
    # Of the broken record, only the line with the stray quote must be mended; what it swallowed are rows again.
    assert [cells[:2] for cells in refused[1:3]] == [
        ["'+32470000002,\"open", ""],
        ["+32470000009", 'swallowed"'],
    ]
    assert command("import", str(target), *SMS).returncode == 1
    assert [job["phone"] for job in jobs(house)[2:]] == ["+32470000009"]
    refused = [["+32470000007", "c", "", refused[0][3]], ["+32470000002", "open"], ["+32470000008", "e"]]
    with target.open("w", newline="") as file:
        csv.writer(file).writerows([header, *refused])
    again = command("import", str(target), *SMS, "--batch-id", "spring")
    assert again.returncode == 0, again.stderr
    assert jobs(house)[3:] == [
        {"channel": "sms", "group_id": "gro_1", "phone": phone, "first_name": name, "batch_id": "spring"}
        for phone, name, *_ in refused
    ]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (
            "phone,first_name\n+32470000001,Ada\n+32470000002,Bob\n+32 470 00.00.01,Ada L.\n+32470000001\n",
            ["line 4: the same contact as in line 2", "line 5: the same contact as in line 2"],
        ),
        (
            'email,custom1\nada@example.com,"two\nlines"\nBob@example.com\nADA@Example.com\nbob@example.com,"a\nb"\n',
            ["line 5: the same contact as in line 2", "lines 6 to 7: the same contact as in line 4"],
        ),
    ],
)
def test_who_stands_in_the_file_twice_is_told_with_both_lines_and_added_once(
    house: House, command, tmp_path, content, told
):
    path = tmp_path / "people.csv"
    path.write_text(content)
    channel = "sms" if content.startswith("phone") else "email"
    done = command("import", str(path), "--channel", channel, "--group-id", "gro_1", "--json")
    summary = json.loads(done.stdout)
    assert (done.returncode, done.stderr.splitlines()) == (0, [f"{line}; not added twice" for line in told])
    assert [summary[name] for name in ("rows", "enqueued", "refused", "repeated")] == [4, 2, 0, 2]
    assert len(jobs(house)) == 2
    assert [one.name for one in tmp_path.iterdir()] == ["people.csv"]


def test_a_row_that_was_refused_is_no_first_one(house: House, command, tmp_path):
    path = tmp_path / "people.csv"
    path.write_text(f"phone,first_name\n+32470000001,{'x' * 256}\n+32470000001,Ada\n")
    done = command("import", str(path), *SMS)
    assert (done.returncode, len(jobs(house))) == (1, 1)
    assert "2 rows read, 1 enqueued, 1 refused, 0 repeated" in done.stdout


def test_no_file_is_overwritten(command, tmp_path):
    path = tmp_path / "people.csv"
    path.write_text("phone\nwrong\n")
    for _ in range(2):
        assert command("import", str(path), *SMS).returncode == 1
    assert {p.name for p in tmp_path.iterdir()} == {
        "people.csv",
        "people.refused.csv",
        "people.refused-2.csv",
    }
    kept = tmp_path / "kept.csv"
    kept.write_text("mine")
    done = command("import", str(path), *SMS, "--refused", str(kept))
    assert (done.returncode, kept.read_text()) == (2, "mine")
    assert "not overwritten" in done.stderr
    chosen = tmp_path / "chosen.csv"
    assert command("import", str(path), *SMS, "--refused", str(chosen)).returncode == 1
    assert chosen.read_text().startswith("phone,error\nwrong,")


@pytest.mark.parametrize(
    ("content", "arguments", "sentence"),
    [
        ("phone,nickname\n", SMS, "unknown columns: nickname"),
        ("email\na@b.example\n", SMS, "unknown columns: email"),
        ("", SMS, "there is no header"),
        ("phone\n", ("--channel", "fax", "--group-id", "gro_1"), "--channel"),
        ("phone\n", ("--channel", "sms", "--group-id", "119251"), "must be 'gro_'"),
        ("phone\n", ("--channel", "sms"), "--group-id"),
    ],
)
def test_what_cannot_be_imported_at_all_is_wrong_usage(command, tmp_path, content, arguments, sentence):
    path = tmp_path / "people.csv"
    path.write_text(content)
    done = command("import", str(path), *arguments)
    assert done.returncode == 2
    assert sentence in done.stderr
    assert [one.name for one in tmp_path.iterdir()] == ["people.csv"]


def test_a_file_that_does_not_exist_is_wrong_usage(command, tmp_path):
    done = command("import", str(tmp_path / "none.csv"), *SMS)
    assert (done.returncode, "does not exist" in done.stderr) == (2, True)
    done = command("import", str(tmp_path / ("n" * 300)), *SMS)
    assert (done.returncode, "cannot be read: File name too long" in done.stderr) == (2, True)


def test_a_file_that_cannot_be_created_is_told_before_anything_is_enqueued(house: House, command, tmp_path):
    path = numbered(tmp_path / f"{'n' * 246}.csv", 1)
    done = command("import", str(path), *SMS)
    assert (done.returncode, "File name too long; choose another with --refused" in done.stderr) == (2, True)
    done = command("import", str(path), *SMS, "--refused", str(tmp_path / ("r" * 300)))
    assert (done.returncode, "File name too long" in done.stderr) == (2, True)
    done = command("import", str(path), *SMS, "--refused", str(tmp_path / "right.csv"), "--wait")
    assert (done.returncode, "or give it a shorter name" in done.stderr) == (2, True)


def test_every_job_carries_what_was_given_for_all(house: House, command, tmp_path):
    path = numbered(tmp_path / "people.csv", 1)
    given = ("--correlation-id", "spring", "--deadline-seconds", "7", "--batch-id", "b 1")
    done = command("import", str(path), *SMS, *given, COUPONTOOLS_RATE_LIMIT="0.1")
    assert done.returncode == 0
    assert jobs(house)[0] == {
        "channel": "sms",
        "group_id": "gro_1",
        "phone": "+32470000000",
        "first_name": "Ada 0",
        "correlation_id": "spring",
        "deadline_seconds": 7,
        "batch_id": "b 1",
    }
    # One contact takes ten seconds here, but lives for seven.
    assert "warning: 1 contacts wait" in done.stderr


def test_ctrl_c_ends_after_a_batch_and_says_how_far_it_came(house: House, importing, tmp_path):
    path = numbered(tmp_path / "people.csv", 100_000)
    process = importing(path)
    wait_for(lambda: house.redis.llen("dramatiq:bulk") >= 1000, what="the first batches")
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=240)
    assert process.returncode == 130, output
    enqueued = house.redis.llen("dramatiq:bulk")
    assert enqueued == house.redis.hlen("dramatiq:bulk.msgs") < 100_000
    (line, told) = re.search(
        r"everything up to line ([\d,]+) is enqueued \(([\d,]+) contacts\)", output
    ).groups()
    assert int(told.replace(",", "")) == enqueued
    assert int(line.replace(",", "")) == enqueued + 1
    assert "running the import again is harmless" in output
    assert "Traceback" not in output


def test_no_row_is_lost_while_redis_is_away(fragile_house: House, importing, tmp_path):
    path = numbered(tmp_path / "people.csv", 10_000)
    process = importing(path, of=fragile_house)
    wait_for(lambda: fragile_house.redis.llen("dramatiq:bulk") >= 1000, what="the first batches")
    fragile_house.server.kill()
    lines = iter(process.stdout.readline, "")
    assert any("; waiting for it" in line for line in lines)
    fragile_house.server.start()
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0, output
    assert "Redis is back" in output
    assert "10,000 rows read, 10,000 enqueued, 0 refused" in output
    redis = fragile_house.redis
    assert redis.llen("dramatiq:bulk") == redis.hlen("dramatiq:bulk.msgs") == 10_000
    names = {json.loads(body)["kwargs"]["first_name"] for body in redis.hvals("dramatiq:bulk.msgs")}
    assert len(names) == 10_000


def test_without_redis_nothing_begins(command, tmp_path):
    path = numbered(tmp_path / "people.csv", 3)
    done = command("import", str(path), *SMS, REDIS_URL="redis://127.0.0.1:1/0")
    assert done.returncode == 1
    assert "Redis does not answer" in done.stderr
    assert "nothing was enqueued" in done.stderr


@pytest.mark.chaos
def test_memory_does_not_grow_with_the_file(house: House, importing, tmp_path):
    # One that is forked begins with the memory of the nursery, which is more than it needs itself.
    house.for_real()
    peaks = []
    for count in (2_000, 60_000):
        process = importing(numbered(tmp_path / f"{count}.csv", count))
        output, _ = process.communicate(timeout=240)
        assert (process.returncode, f"{count:,} enqueued" in output) == (0, True)
        peaks.append(int(re.search(r"at most (\d+) MiB", output)[1]))
    assert peaks[1] < peaks[0] + 10


def test_a_terminal_sees_a_progress_bar(house: House, tmp_path):
    path = numbered(tmp_path / "people.csv", 3_000)
    master, slave = os.openpty()
    with house.start(
        "import", str(path), *SMS, streams={"stderr": slave}, TERM="xterm", COLUMNS="120"
    ) as process:
        os.close(slave)
        shown = b""
        try:
            while chunk := os.read(master, 4096):
                shown += chunk
        except OSError:
            pass  # Linux says so when the other side of a terminal is closed
        assert process.wait(timeout=240) == 0
    os.close(master)
    assert b"3,000 rows read" in shown
    assert "━".encode() in shown


def test_numbers_of_a_country_are_read_and_wrong_ones_refused_with_the_reason(
    house: House, command, tmp_path
):
    path = tmp_path / "people.csv"
    path.write_text(
        "phone\n0470 12 34 56\n32470123457\n0032 470 12 34 58\n+33612345678\n0470 12\n3.247E+10\n+32470123456\n"
    )
    done = command("import", str(path), *SMS, "--country", "BE")
    assert done.returncode == 1
    assert [job["phone"] for job in jobs(house)] == [
        "+32470123456",
        "+32470123457",
        "+32470123458",
        "+33612345678",
    ]
    short, amount, repeated = done.stderr.splitlines()
    assert short == "line 6: phone: is not a possible number of BE: it is too short"
    assert amount.startswith("line 7: phone: a spreadsheet made an amount of this number")
    assert repeated.startswith("line 8: the same contact as in line 2")
    # The refused rows are kept unchanged, so the same command can read them again.
    assert (tmp_path / "people.refused.csv").read_text().splitlines()[1].startswith("0470 12,")


@pytest.mark.parametrize(
    ("channel", "country", "sentence"), [("sms", "XX", "two letters"), ("email", "BE", "the channel sms")]
)
def test_a_country_that_is_of_no_use_is_wrong_usage(command, tmp_path, channel, country, sentence):
    path = tmp_path / "people.csv"
    path.write_text("phone\n")
    done = command("import", str(path), "--channel", channel, "--group-id", "gro_1", "--country", country)
    assert done.returncode == 2
    assert sentence in " ".join(done.stderr.split())


COLUMNS = ("--column", "phone=Mobile", "--column", "First_Name = Naam", "--ignore-columns")


def test_columns_are_named_and_others_left_out_also_of_the_refused_rows(house: House, command, tmp_path):
    path = tmp_path / "people.csv"
    path.write_text(
        'Naam,Street,Mobile\nAda,"A road\nLondon",+32470000001\nBob,,0470\nCleo,"open,+32470000003\nDan,,+32470000004"\n'
    )
    done = command("import", str(path), *SMS, *COLUMNS)
    assert done.returncode == 1
    assert [line.split(":")[0] for line in done.stderr.splitlines()] == ["line 4", "lines 5 to 6"]
    assert [(job["phone"], job["first_name"]) for job in jobs(house)] == [("+32470000001", "Ada")]
    refused = tmp_path / "people.refused.csv"
    assert refused.read_text().splitlines()[0] == "Naam,Street,Mobile,error"
    refused.write_text(refused.read_text().replace("Bob,,0470", "Bob,,+32470000002"))
    command("import", str(refused), *SMS, *COLUMNS)
    assert [job["phone"] for job in jobs(house)[1:]] == ["+32470000002"]


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (["phone"], "must be COLUMN=NAME"),
        (["phone="], "must be COLUMN=NAME"),
        (["nickname=Mobile"], "'nickname' is none of phone, first_name"),
        (["phone=Mobile", "Phone=Naam"], "'phone' is given twice"),
        (["phone=Mobile", "first_name=mobile"], "the column 'mobile' is given twice"),
        (["phone=Fax"], "there is no column 'Fax'; the file has: Mobile, Naam"),
        (["first_name=error"], "why a row was refused"),
    ],
)
def test_a_column_that_cannot_be_is_a_clear_error(command, tmp_path, given, sentence):
    path = tmp_path / "people.csv"
    path.write_text("Mobile,Naam\n")
    options = [word for item in given for word in ("--column", item)]
    done = command("import", str(path), *SMS, *options, "--ignore-columns", COLUMNS="400")
    assert done.returncode == 2
    assert sentence in re.sub(r"[\s│]+", " ", done.stderr)


def test_standard_input_is_read_and_its_refused_rows_are_kept_here(
    house: House, command, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    content = "phone,first_name\n+32470000001,Zoë\n0470,Bob\n"
    for name in ("stdin.refused.csv", "stdin.refused-2.csv"):
        done = command("import", "-", *SMS, stdin=content)
        assert (done.returncode, f"refused rows are in {name}" in done.stdout) == (1, True)
    assert (tmp_path / "stdin.refused.csv").read_text().splitlines()[1].startswith("0470,Bob,")
    assert [job["first_name"] for job in jobs(house)] == ["Zoë", "Zoë"]
    done = command("import", "-", *SMS, "--refused", "chosen.csv", stdin=content)
    assert (tmp_path / "chosen.csv").exists()
    done = command("import", "-", *SMS, stdin="")
    assert (done.returncode, done.stderr.splitlines()[0].split(";")[0]) == (
        2,
        "standard input: there is no header",
    )


def test_a_pipe_is_read_too(house: House, importing, tmp_path):
    pipe = tmp_path / "people.csv"
    os.mkfifo(pipe)
    process = importing(pipe, "--refused", str(tmp_path / "refused.csv"))
    with pipe.open("w") as file:
        file.write("phone\n+32470000001\n")
    output, _ = process.communicate(timeout=240)
    assert process.returncode == 0, output
    assert len(jobs(house)) == 1


def test_ctrl_c_ends_the_wait_for_standard_input(house: House, tmp_path):
    command = ["import", "-", *SMS, "--refused", str(tmp_path / "refused.csv")]
    copies = tmp_path / "copies"
    copies.mkdir()
    streams = {"stdin": PIPE, "stdout": DEVNULL}
    with house.start(*command, streams=streams, TMPDIR=copies) as process:
        # More than a pipe holds: when all is written, it has begun to read.
        process.stdin.write(b"phone\n" + b"+32470000001\n" * 100_000)
        process.stdin.flush()
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=120) == 130
        assert b"Traceback" not in process.stderr.read()
    assert jobs(house) == []
    assert list(copies.iterdir()) == []


def test_a_dry_run_only_checks(house: House, command, tmp_path):
    path = tmp_path / "people.csv"
    path.write_text("phone\n+32470000001\n0470\n+32470000001\n")
    done = command("import", str(path), *SMS, "--dry-run", REDIS_URL="redis://127.0.0.1:1/0")
    assert done.returncode == 1
    assert "3 rows read, 1 right, 1 refused, 1 repeated" in done.stdout
    assert "nothing was enqueued" in done.stdout
    assert [line.split(":")[0] for line in done.stderr.splitlines()] == ["line 3", "line 4"]
    assert [one.name for one in tmp_path.iterdir()] == ["people.csv"]
    kept = tmp_path / "kept.csv"
    done = command("import", str(path), *SMS, "--dry-run", "--json", "--refused", str(kept))
    summary = json.loads(done.stdout)
    assert summary == {"batch_id": None, "rows": 3, "enqueued": 0, "refused": 1, "repeated": 1, "present": 0}
    assert kept.read_text().splitlines()[1].startswith("0470,")
    assert jobs(house) == []


def test_a_workbook_is_told_as_one(command, tmp_path):
    path = tmp_path / "people.csv"
    path.write_bytes(b"PK\x03\x04\x14\0\x06\0")
    done = command("import", str(path), *SMS)
    assert (done.returncode, done.stderr.startswith("people.csv: this is a workbook")) == (2, True)


@pytest.mark.parametrize(
    ("settings", "deadline"),
    [
        # 300 contacts take 300 s at the tenth of 10 a second, so they get three times that,
        ((10, 60, None), 900),
        # but no job gets less than the setting, which its worker knows itself.
        ((10, 1000, None), None),
        ((10, 60, 70), 70),
        ((0, 60, None), None),
    ],
)
def test_jobs_live_three_times_as_long_as_they_take_at_the_share_that_is_sure(
    house: House, command, tmp_path, settings, deadline
):
    path = numbered(tmp_path / "people.csv", 300)
    # Without a line end at the end of the file.
    path.write_text(path.read_text().rstrip())
    rate, setting, given = settings
    options = ("--deadline-seconds", str(given)) if given else ()
    done = command(
        "import",
        str(path),
        *SMS,
        *options,
        COUPONTOOLS_RATE_LIMIT=rate,
        JOB_DEADLINE_SECONDS=setting,
    )
    assert done.returncode == 0, done.stderr
    assert {job.get("deadline_seconds") for job in jobs(house)} == {deadline}


def test_the_summary_says_how_long_it_will_take(house: House, command, tmp_path):
    path = numbered(tmp_path / "people.csv", 300)
    told = "30 s at the present pace (10 requests a second), 5 min at the share of it that imports are sure of (10%)"
    for options, wait in ((["--dry-run"], "would wait"), ([], "wait")):
        done = command("import", str(path), *SMS, *options, COUPONTOOLS_RATE_LIMIT=10)
        assert f"300 contacts {wait}: {told}; a job expires after 24.0 h" in done.stdout
    # Those wait before the next ones; and the pace of a worker that lives counts more than the setting here.
    house.worker("--queues", "reads", COUPONTOOLS_RATE_LIMIT=5)
    command("import", str(path), *SMS, JOB_DEADLINE_SECONDS=1, COUPONTOOLS_RATE_LIMIT=10)
    assert jobs(house)[-1]["deadline_seconds"] == 3600


def test_the_summary_is_one_line_of_json_with_the_promised_names(house: House, command, tmp_path):
    path = numbered(tmp_path / "people.csv", 2)
    (line,) = command("import", str(path), *SMS, "--json").stdout.splitlines()
    summary = json.loads(line)
    assert summary.pop("batch_id")
    assert summary == {"rows": 2, "enqueued": 2, "refused": 0, "repeated": 0, "present": 0}
