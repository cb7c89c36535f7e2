"""What other services see: the jobs they may enqueue and the events that answer them; and the actors that carry the jobs out."""

from actors.arguments import ArgumentError, InvalidJob
from actors.declare import KINDS, declare_actors
from actors.entrance import Entrance, Incoming
from actors.events import EVENTS
from actors.jobs import JOBS, Job, parse_job

__all__ = [
    "EVENTS",
    "JOBS",
    "KINDS",
    "ArgumentError",
    "Entrance",
    "Incoming",
    "InvalidJob",
    "Job",
    "declare_actors",
    "parse_job",
]
