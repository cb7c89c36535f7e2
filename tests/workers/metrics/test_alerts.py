"""The alert that fires for each way to stand still, found by our own small reader of PromQL, and by promtool where it is installed."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.harness.promql import firing, samples_of
from tests.workers.metrics.test_monitoring_files import FOLDER, rules

QUEUES = ("webhooks", "groups", "contacts", "reads", "bulk")
HOUR = 90


def well(**changes: str) -> dict[str, str]:
    """Return the series of a worker that has work and does it; a change names series by parts of their names: ``oldest__contacts``."""
    series = {
        "coupontools_redis_up": f"1x{HOUR}",
        "coupontools_redis_writable": f"1x{HOUR}",
        "coupontools_redis_forgot_total": f"0x{HOUR}",
        'coupontools_api_seconds_bucket{actor_name="add_contact",le="0.5"}': f"0+60x{HOUR}",
        'coupontools_api_seconds_bucket{actor_name="add_contact",le="30"}': f"0+60x{HOUR}",
        'coupontools_api_seconds_bucket{actor_name="add_contact",le="+Inf"}': f"0+60x{HOUR}",
    }
    for queue in QUEUES:
        series |= {
            f'coupontools_workers{{queue="{queue}"}}': f"2x{HOUR}",
            f'coupontools_queue_ready{{queue="{queue}"}}': f"3x{HOUR}",
            f'coupontools_queue_delayed{{queue="{queue}"}}': f"0x{HOUR}",
            f'coupontools_queue_oldest_unanswered_seconds{{queue="{queue}"}}': f"5x{HOUR}",
            f'coupontools_rejected_entries_total{{queue="{queue}"}}': f"0x{HOUR}",
        }
        for name, text in (("messages", "0+60"), ("message_retries", "0+1"), ("message_rejects", "0")):
            labels = f'queue_name="{queue}",actor_name="add_contact"'
            series[f"dramatiq_{name}_total{{{labels}}}"] = f"{text}x{HOUR}"
    for kind in ("refused", "outage", "asked", "paused"):
        series[f'coupontools_held{{scope="account",kind="{kind}"}}'] = f"0x{HOUR}"
    for kind in ("unknown", "internal"):
        labels = f'actor_name="add_contact",outcome="failed",error_kind="{kind}"'
        series[f"coupontools_outcomes_total{{{labels}}}"] = f"0x{HOUR}"
    for change, text in changes.items():
        signs = change.split("__")
        names = [name for name in series if all(sign in name for sign in signs)]
        assert names, change
        series |= dict.fromkeys(names, text)
    return series


#: For each case: the series, the minute, and the alerts that fire then.
CASES = {
    "all is well": (well(), 85, set()),
    "no metrics at all": ({}, 5, {"WorkersMissing"}),
    "Redis is away": (
        {"coupontools_redis_up": f"0x{HOUR}"},
        5,
        {"RedisAway"},
    ),
    "Redis is full": (well(writable="0x90"), 5, {"RedisReadOnly"}),
    "Redis forgot": (well(forgot="0x10 1x80"), 15, {"RedisForgot"}),
    "the account is refused": (well(held__refused="1x90"), 6, {"Held"}),
    "the account is refused, and nothing is answered": (
        well(held__refused="1x90", oldest__contacts="0+60x90", messages="0x90", retries="0x90"),
        20,
        {"Held"},
    ),
    "a pause that is meant": (
        well(held__paused="1x90", oldest__contacts="0+60x90", messages="0x90", retries="0x90"),
        30,
        set(),
    ),
    "Redis is full, and no heartbeat can be written": (
        well(
            writable="0x90",
            coupontools_workers="0x90",
            oldest__contacts="0+60x90",
            messages="0x90",
            retries="0x90",
        ),
        20,
        {"RedisReadOnly"},
    ),
    "no worker for long": (
        well(coupontools_workers="0x90", oldest__contacts="0+60x90", messages="0x90", retries="0x90"),
        30,
        {"WorkersMissing"},
    ),
    "an outage of two minutes": (well(held__outage="0x10 1x1 0x90"), 12, set()),
    "a pause that was forgotten": (well(held__paused="1x90"), 65, {"Paused"}),
    "no worker": (well(coupontools_workers="0x90", messages="0x90", retries="0x90"), 5, {"WorkersMissing"}),
    "a queue that no worker takes": (well(coupontools_workers__groups="0x90"), 5, {"QueueUnserved"}),
    "an idle queue that no worker takes": (
        well(coupontools_workers__groups="0x90", ready__groups="0x90"),
        5,
        set(),
    ),
    "only retries": (
        well(oldest__contacts="0+60x90", messages__contacts="0+4x90", retries__contacts="0+4x90"),
        20,
        {"NoProgress"},
    ),
    "nothing is fetched": (
        well(oldest__bulk="0+60x90", messages__bulk="0x90", retries__bulk="0x90"),
        20,
        {"NoProgress"},
    ),
    "all places taken, for more than an hour": (
        well(oldest="0+60x90", messages="0x90", retries="0x90"),
        85,
        {"NoProgress", "BacklogOld", "WebhooksLate"},
    ),
    "a large import": (well(oldest__bulk="0+60x90"), 60, set()),
    "five of five webhooks fail": (
        well(messages__webhooks="0x10 5x80", retries__webhooks="0x90", rejects__webhooks="0x10 5x80"),
        15,
        {"MostFail"},
    ),
    "some of many fail": (well(rejects__contacts="0x10 20x80"), 15, {"DeadLetters"}),
    "a producer writes nonsense": (well(rejected__reads="0x10 5x80"), 15, {"EntriesRejected"}),
    "a lost call that nobody knows of": (well(outcomes__unknown="0x10 1x80"), 15, {"Unknown"}),
    "a fault of ours": (well(outcomes__internal="0x10 1x80"), 15, {"InternalErrors"}),
    "webhooks wait": (well(oldest__webhooks="90x90"), 5, {"WebhooksLate"}),
    "a slow API": (well(api_seconds__0="0x90", **{'api_seconds__le="30"': "0+60x90"}), 25, {"ApiSlow"}),
}


@pytest.mark.parametrize("case", CASES)
def test_each_way_to_stand_still_is_told_by_its_own_alert(case: str) -> None:
    series, minute, expected = CASES[case]
    assert firing(rules(), series, minute) == {f"Coupontools{name}" for name in expected}


def test_every_alert_is_seen_to_fire() -> None:
    seen = {f"Coupontools{name}" for _, _, expected in CASES.values() for name in expected}
    assert seen == {rule["alert"] for rule in rules()}


def test_what_the_reader_does_not_know_it_refuses() -> None:
    assert samples_of("1+2x2 _x1 4") == [1, 3, 5, None, 4]
    for expression in ("avg(up)", "up % 2", "rate(up[1m]) bool 1"):
        with pytest.raises(ValueError, match=r"known here|left|expected"):
            firing([{"alert": "x", "expr": expression}], {"up": "1x5"}, 3)


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
def test_promtool_says_the_same(tmp_path: Path) -> None:
    all_alerts = {rule["alert"] for rule in rules()}
    tests = []
    for case, (series, minute, expected) in CASES.items():
        names = {f"Coupontools{name}" for name in expected}
        tests.append(
            {
                "name": case,
                "interval": "1m",
                "input_series": [{"series": name, "values": text} for name, text in series.items()],
                # Count the alerts that fire, whatever their labels.
                "promql_expr_test": [
                    {
                        "expr": f'count(count by (alertname) (ALERTS{{alertstate="firing",alertname="{alert}"}}))',
                        "eval_time": f"{minute}m",
                        "exp_samples": [{"labels": "{}", "value": 1}] if alert in names else [],
                    }
                    for alert in sorted(all_alerts)
                ],
            }
        )
    file = tmp_path / "alerts.test.yml"
    document = {"rule_files": [str(FOLDER / "alerts.yml")], "evaluation_interval": "1m", "tests": tests}
    file.write_text(yaml.safe_dump(document), encoding="utf-8")
    for arguments in (("check", "rules", str(FOLDER / "alerts.yml")), ("test", "rules", str(file))):
        done = subprocess.run(
            ["promtool", *arguments], capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
