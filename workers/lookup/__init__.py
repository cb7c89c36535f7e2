"""Finds jobs for `job` and `cancel`: what is known of a job, apart from how a command prints it."""

from workers.lookup.found import Found, in_words, time_of
from workers.lookup.lookup import Lookup, open_lookup
from workers.lookup.scan import LooksTooLong
from workers.lookup.story import Step, story

__all__ = [
    "Found",
    "LooksTooLong",
    "Lookup",
    "Step",
    "in_words",
    "open_lookup",
    "story",
    "time_of",
]
