"""Where jobs are, as `job` and `cancel` tell it: what is known of a job, apart from how a command prints it."""

from workers.lookup.found import Found, in_words, time_of
from workers.lookup.lookup import Lookup, open_lookup

__all__ = ["Found", "Lookup", "in_words", "open_lookup", "time_of"]
