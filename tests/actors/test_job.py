"""A job is one file. If something is missing in it, its import fails, and so does every start; the error says what to add and where."""

from __future__ import annotations

import importlib
import inspect
from pathlib import Path
from typing import Any, ClassVar

import pytest

import actors
from actors.event_data import Answer
from actors.job import Job
from actors.jobs import JOBS
from config.names import QUEUES
from coupontools import Call, Coupontools
from delivery import Outcome


def whole(**left_out: Any) -> dict[str, Any]:
    """Return the body of a job's class with all that it must have, without the names in ``left_out``."""

    async def call(self: Job, api: Coupontools, call: Call) -> Outcome:
        return Outcome("contact.deleted", {})

    def told(self: Job, *_: Any) -> Any:
        return None

    body = {
        "__module__": "actors.delete_contact",
        "__annotations__": {},
        "actor": "delete_contact",
        "queue": "contacts",
        "failed": "contact.failed",
        "succeeds": {"contact.deleted": Answer},
        "effect": True,
        "named": True,
        "call": call,
        **dict.fromkeys(("listing", "needle", "read_back", "found", "taken_name", "baseline"), told),
    }
    body["__annotations__"] = dict.fromkeys(("succeeds",), ClassVar[Any])
    return {name: value for name, value in body.items() if name not in left_out}


def test_a_whole_job_is_taken() -> None:
    assert type("DeleteContact", (Job,), whole()).actor == "delete_contact"


@pytest.mark.parametrize("name", ["actor", "queue", "failed", "succeeds"])
def test_a_job_without_one_of_its_class_variables_is_told_which(name: str) -> None:
    body = whole(**{name: None})
    body["__annotations__"] = {}
    with pytest.raises(TypeError, match=rf"actors/delete_contact.py, class DeleteContact: set .*`{name}`"):
        type("DeleteContact", (Job,), body)


@pytest.mark.parametrize(
    "name", ["call", "listing", "needle", "read_back", "found", "taken_name", "baseline"]
)
def test_a_job_without_one_of_its_methods_is_told_which(name: str) -> None:
    """A job that changes something and cannot be read back would be retried for ever."""
    with pytest.raises(
        TypeError, match=rf"actors/delete_contact.py, class DeleteContact: define `{name}\(\)`"
    ):
        type("DeleteContact", (Job,), whole(**{name: None}))


def test_a_job_whose_queue_has_no_lane_is_told() -> None:
    """No worker would take such a job, and its queue would have no share of the pace."""
    with pytest.raises(TypeError, match=r"add the queue `removals` to QUEUES in config/names.py"):
        type("DeleteContact", (Job,), whole() | {"queue": "removals"})


def test_a_job_that_could_be_read_back_but_does_not_say_so_is_told() -> None:
    """Its calls whose answers were lost would be made again, and doubled."""
    with pytest.raises(
        TypeError, match=r"class DeleteContact: set `effect = True`, or take out `listing\(\)`"
    ):
        type("DeleteContact", (Job,), whole() | {"effect": False})


def test_every_job_that_has_a_file_is_in_the_list() -> None:
    for path in Path(actors.__file__).parent.glob("*.py"):
        module = importlib.import_module(f"actors.{path.stem}")
        for name, found in inspect.getmembers(module, inspect.isclass):
            if issubclass(found, Job) and found is not Job and found.__module__ == module.__name__:
                assert found in JOBS.values(), (
                    f"actors/{path.name} defines {name}: add it to JOBS in actors/jobs.py"
                )


def test_every_queue_is_that_of_some_job() -> None:
    assert {queue for job in JOBS.values() for queue in (job.queue, *job.also)} == set(QUEUES)


def test_no_two_jobs_share_an_event_of_success() -> None:
    told = [event for job in JOBS.values() for event in job.succeeds]
    assert len(told) == len(set(told)), "two jobs name one event: it would have two schemas"
