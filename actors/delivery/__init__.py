"""How every job keeps "one effect, one answer": claimed in the ledger before any byte leaves, settled with its event."""

from actors.delivery.answers import Failure, Progress, dead_reason, failed
from actors.delivery.engine import Delivery
from actors.delivery.gate import Gate
from actors.delivery.journal import Journal, Observer
from actors.delivery.kind import Kind, Outcome
from actors.delivery.ledger import Ledger
from actors.delivery.policy import Policy
from actors.delivery.receipt import Receipt
from actors.delivery.scripts import Script, ScriptRunner, load_scripts
from actors.delivery.task import Task

__all__ = [
    "Delivery",
    "Failure",
    "Gate",
    "Journal",
    "Kind",
    "Ledger",
    "Observer",
    "Outcome",
    "Policy",
    "Progress",
    "Receipt",
    "Script",
    "ScriptRunner",
    "Task",
    "dead_reason",
    "failed",
    "load_scripts",
]
