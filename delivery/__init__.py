"""One effect, one answer, for any kind of job: claimed in the ledger before any byte leaves, settled with its event.

Read ``attempt`` first: it takes a job from its claim to its settlement.
"""

from delivery.account import pausing, tell, unparking
from delivery.anew import forgetting, keeping, retried_as
from delivery.answer import PREFIX, SOURCE, WITHOUT_LETTER, Failure, dead_reason, rejection
from delivery.batches import batch_key, batch_life_ms, cancelled_field, cancelling, is_cancelled, sizing
from delivery.delivery import Delivery
from delivery.gate import Gate
from delivery.job import Job, KnownIds, Outcome, Told, Unknown, Verdict
from delivery.ledger import Ledger
from delivery.log_line import LogLine, Observer
from delivery.policy import Policy
from delivery.scripts import Script, ScriptRunner, load_scripts
from delivery.settlement import Changes
from delivery.shares import LANES
from delivery.task import MOST_DEATHS, Receipt, Task

__all__ = [
    "LANES",
    "MOST_DEATHS",
    "PREFIX",
    "SOURCE",
    "WITHOUT_LETTER",
    "Changes",
    "Delivery",
    "Failure",
    "Gate",
    "Job",
    "KnownIds",
    "Ledger",
    "LogLine",
    "Observer",
    "Outcome",
    "Policy",
    "Receipt",
    "Script",
    "ScriptRunner",
    "Task",
    "Told",
    "Unknown",
    "Verdict",
    "batch_key",
    "batch_life_ms",
    "cancelled_field",
    "cancelling",
    "dead_reason",
    "forgetting",
    "is_cancelled",
    "keeping",
    "load_scripts",
    "pausing",
    "rejection",
    "retried_as",
    "sizing",
    "tell",
    "unparking",
]
