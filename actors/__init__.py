"""What other services see: the jobs they may enqueue and the events that answer them. One file a job; jobs.py lists them."""

from actors.entrance import Entrance, Incoming
from actors.job import Job
from actors.jobs import EVENTS, JOBS, key_of
from actors.problems import ArgumentError, InvalidJob

__all__ = ["EVENTS", "JOBS", "ArgumentError", "Entrance", "Incoming", "InvalidJob", "Job", "key_of"]
