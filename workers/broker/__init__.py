"""The durable broker: Dramatiq's messages in Redis, fetched, delayed, taken over and set aside without loss."""

from workers.broker.caretaker import Caretaker
from workers.broker.dead_letters import LETTER_KINDS, DeadLetter, DeadLetters, NotRetried, Place, readable
from workers.broker.durable import DurableBroker
from workers.broker.enrolment import Enrolment, Refused
from workers.broker.entries import DurableMessage
from workers.broker.memory import Memory

__all__ = [
    "LETTER_KINDS",
    "Caretaker",
    "DeadLetter",
    "DeadLetters",
    "DurableBroker",
    "DurableMessage",
    "Enrolment",
    "Memory",
    "NotRetried",
    "Place",
    "Refused",
    "readable",
]
