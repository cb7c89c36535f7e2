"""docs/monitoring: every metric and label that the alert rules and the dashboard use exists."""

from __future__ import annotations

import json
import re
from pathlib import Path

import yaml

from workers.metrics import METRICS

FOLDER = Path(__file__).parents[3] / "docs" / "monitoring"
NAME = re.compile(r"\b(?:coupontools|dramatiq)_\w+")


def rules() -> list[dict]:
    return [
        rule
        for group in yaml.safe_load((FOLDER / "alerts.yml").read_text())["groups"]
        for rule in group["rules"]
    ]


def expressions() -> list[str]:
    board = json.loads((FOLDER / "grafana" / "coupontools-worker.json").read_text())
    targets = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    return [*targets, *(rule["expr"] for rule in rules())]


def test_every_metric_and_label_exists():
    assert len(expressions()) > 20
    for expression in expressions():
        names = NAME.findall(expression)
        assert names, expression
        labels = {"le"}
        for name in names:
            base = name if name in METRICS else re.sub(r"_(bucket|sum|count)$", "", name)
            assert base in METRICS, name
            assert (METRICS[base].kind == "histogram") == (base != name), name
            labels |= set(METRICS[base].labels)
        asked = {
            label.strip()
            for group in re.findall(r"\bby \(([^)]*)\)", expression)
            for label in group.split(",")
        }
        asked |= set(re.findall(r"(\w+)\s*=~?\s*\"", expression))
        assert asked <= labels, expression


def test_no_label_is_one_of_prometheus_own():
    # Prometheus gives the labels `job` and `instance` to every target, and renames a metric's own labels of these names.
    assert not [name for name, metric in METRICS.items() if {"job", "instance"} & set(metric.labels)]


def test_every_metric_is_shown():
    shown = {re.sub(r"_bucket$", "", name) for text in expressions() for name in NAME.findall(text)}
    assert shown == set(METRICS)


def test_every_alert_is_explained():
    text = (FOLDER.parent / "operations.md").read_text()
    for rule in rules():
        assert f"`{rule['alert']}`" in text
        assert rule["annotations"]["summary"]


def test_compose_loads_them_under_the_profile():
    compose = yaml.safe_load((FOLDER.parents[1] / "docker-compose.yml").read_text())
    for service in ("prometheus", "grafana"):
        assert compose["services"][service]["profiles"] == ["monitoring"]
        for volume in compose["services"][service]["volumes"]:
            source = volume.partition(":")[0]
            if source.startswith("."):
                assert (FOLDER.parents[1] / source).exists(), source
