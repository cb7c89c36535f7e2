"""What all jobs share: the arguments that each of them takes, how they are checked, and what makes two jobs the same."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError

import delivery
from actors.arguments import BatchSize, Printable, ReplyName, WholeNumber
from actors.event_data import Answer, show_examples
from actors.problems import ArgumentError, InvalidJob, bounded, problems_of
from coupontools import Scope
from delivery import LANES, Outcome

__all__ = ["BATCH_TOGETHER", "Job"]

#: Arguments that never make two jobs different.
NEUTRAL_ARGUMENTS = frozenset(
    {"idempotency_key", "correlation_id", "deadline_seconds", "batch_id", "batch_size", "reply_to"}
)
#: The rule that a `batch_size` needs a `batch_id`, as JSON Schema.
BATCH_TOGETHER = {
    "if": {"required": ["batch_size"], "properties": {"batch_size": {"type": "integer"}}},
    "then": {"required": ["batch_id"], "properties": {"batch_id": {"type": "string"}}},
}


class Job(delivery.Job, BaseModel):
    """One kind of job; each has a file of its own beside this one, and a line in jobs.py. `delivery.Job` says what delivery asks of it."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, json_schema_extra=show_examples)

    #: Its queue, and other queues that it may be put on. Each queue is a lane of delivery's gate.
    queue: ClassVar[str]
    also: ClassVar[tuple[str, ...]] = ()
    #: The data of each event that a job of this kind may succeed with, by the event's type after the prefix.
    succeeds: ClassVar[dict[str, type[Answer]]]
    #: Does a job without an idempotency key get one that is derived from its arguments? If not, each such job asks the API anew.
    derives_key: ClassVar[bool] = True
    #: Every argument that some job has.
    known_arguments: ClassVar[set[str]] = set()
    #: Arguments of whole jobs, shown in the published schema.
    examples: ClassVar[list[dict[str, Any]]]
    #: The rules of `problems_together` as JSON Schema, for the published schema.
    together: ClassVar[tuple[dict[str, Any], ...]] = ()

    idempotency_key: Printable | None = Field(
        None, description="Two jobs of the same actor with the same key are one job."
    )
    correlation_id: Printable | None = Field(
        None, description="Echoed in logs and events, never interpreted."
    )
    deadline_seconds: WholeNumber | None = Field(
        None,
        description="How many seconds this job may wait for its answer; by default JOB_DEADLINE_SECONDS.",
    )
    batch_id: Printable | None = Field(
        None, description="Jobs of one batch are counted together and can be cancelled together."
    )
    batch_size: BatchSize | None = Field(None, description="How many jobs the batch has; needs a batch_id.")
    reply_to: ReplyName | None = Field(
        None, description="The answer is also pushed to the Redis list <KEY_PREFIX>:reply:<reply_to>."
    )

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        """Make sure that nothing was forgotten, so that no worker starts with half a job.

        Raises:
            TypeError: says what to add, and where.
        """
        Job.known_arguments.update(cls.model_fields)
        place = f"{cls.__module__.replace('.', '/')}.py, class {cls.__name__}"
        for name in ("actor", "queue", "succeeds", "failed"):
            if not hasattr(cls, name):
                raise TypeError(
                    f"{place}: set the class variable `{name}`; actors/job.py or delivery/job.py says what it means"
                )
        for queue in (cls.queue, *cls.also):
            if queue not in LANES:
                raise TypeError(
                    f"{place}: add the queue `{queue}` to QUEUES in config/names.py, and its weight to LANES in delivery/shares.py"
                )
        of_flag = {
            "effect": ("listing", "needle", "read_back", "found"),
            "named": ("taken_name", "baseline"),
        }
        needed = {"call"}.union(*(names for flag, names in of_flag.items() if getattr(cls, flag)))
        for name in ("call", *of_flag["effect"], *of_flag["named"]):
            defined = getattr(cls, name) is not getattr(Job, name)
            if name in needed and not defined:
                raise TypeError(f"{place}: define `{name}()`; delivery/job.py says what it returns")
            if defined and name not in needed:
                flag = next(flag for flag, names in of_flag.items() if name in names)
                raise TypeError(
                    f"{place}: set `{flag} = True`, or take out `{name}()`, which nobody would call"
                )

    # -- Checking -------------------------------------------------------------------------------------------------------------

    @classmethod
    def parse(cls, arguments: dict[str, Any]) -> Self:
        """Check a job's arguments.

        Raises:
            InvalidJob: with one problem for each argument that breaks a rule.
        """
        problems: list[ArgumentError] = []
        strange: list[ArgumentError] = []
        try:
            job = cls.model_validate(arguments)
        except ValidationError as error:
            entries = error.errors(include_url=False, include_input=False)
            unknown = f"is not an argument of {cls.actor}; known are {', '.join(cls.model_fields)}"
            problems, strange = problems_of(entries, unknown, Job.known_arguments)
        # The sender gets all problems at once. But an argument that is wrong by itself is not reported again for how it fits the others.
        if arguments.get("batch_size") is not None and arguments.get("batch_id") is None:
            problems.append(ArgumentError("batch_size", "needs a batch_id"))
        named = {problem.field for problem in problems}
        problems += [problem for problem in cls.problems_together(arguments) if problem.field not in named]
        if problems or strange:
            raise InvalidJob(bounded(problems) + strange)
        return job

    @classmethod
    def problems_together(cls, given: Mapping[str, Any]) -> list[ArgumentError]:
        """Return which arguments do not fit together. Called also when some of them are wrong by themselves."""
        del given
        return []

    # -- What it is about -----------------------------------------------------------------------------------------------------

    @property
    def subject(self) -> str | None:
        """The id that the job is about; None if it has none, or if that argument was invalid."""
        group_id: str | None = getattr(self, "group_id", None)
        return group_id

    @property
    def scope(self) -> Scope:
        """The scope whose holds stop this job, beside the account's: its channel, or "account" if it has none."""
        channel: Literal["sms", "email"] | None = getattr(self, "channel", None)
        return channel or "account"

    @property
    def meaning(self) -> dict[str, Any]:
        """All arguments that count: those that make two jobs different."""
        return self.model_dump(exclude=set(NEUTRAL_ARGUMENTS), exclude_none=True)

    @property
    def about(self) -> dict[str, Any]:
        """The arguments that a derived key is made of."""
        return self.meaning

    def fingerprint(self) -> str:
        """Return a digest of the arguments that count: equal for the same job, in whatever form they were given."""
        return self._digest(self.meaning)

    @property
    def key_is_derived(self) -> bool:
        """Was no key given?"""
        return self.idempotency_key is None

    @property
    def key(self) -> str | None:
        """The idempotency key in force, given or derived; None where each job is carried out by itself."""
        if self.idempotency_key:
            return self.idempotency_key
        return f"derived:{self._digest(self.about)}" if self.derives_key else None

    @classmethod
    def key_of_raw(cls, arguments: dict[str, Any]) -> str | None:
        """Return the key in force for arguments that could not be checked: the one given if it can be used, else a derived one."""
        given = arguments.get("idempotency_key")
        if isinstance(given, str) and 1 <= len(given) <= 255 and given.isprintable():
            return given
        return f"derived:{cls.fingerprint_of_raw(arguments)}" if cls.derives_key else None

    @classmethod
    def fingerprint_of_raw(cls, arguments: dict[str, Any]) -> str:
        """Return a digest of arguments that could not be checked."""
        meaning = {name: value for name, value in arguments.items() if name not in NEUTRAL_ARGUMENTS}
        try:
            return cls._digest(meaning)
        except orjson.JSONEncodeError:
            # The reader of JSON takes 1,024 levels and whole numbers of any length, the writer only 254 levels and 64 bits.
            plain = {
                name: str(value)[:1000]
                for name, value in meaning.items()
                if not isinstance(value, dict | list)
            }
            return cls._digest(plain)

    @classmethod
    def _digest(cls, arguments: Any) -> str:
        """Return a digest of a job's arguments that does not depend on their order."""
        text = orjson.dumps([cls.actor, arguments], option=orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS)
        return hashlib.sha256(text).hexdigest()[:40]

    # -- What it does -----------------------------------------------------------------------------------------------------------

    def without_call(self) -> Outcome | None:
        """Return the outcome if it is certain without asking the API, else None."""
        return None
