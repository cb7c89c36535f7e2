"""Finds jobs for `job` and `cancel`: what is known of a job, apart from how a command prints it."""

from workers.lookup.found import Found, in_words
from workers.lookup.lookup import Lookup
from workers.lookup.scan import LooksTooLong
from workers.lookup.story import Step, story

__all__ = [
    "Found",
    "LooksTooLong",
    "Lookup",
    "Step",
    "in_words",
    "story",
]
