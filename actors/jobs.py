"""What other services may ask for: the arguments of each job, checked and brought to one form."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from actors.arguments import (
    CUSTOM_FIELDS,
    ArgumentError,
    ChannelName,
    CustomFields,
    Email,
    GroupId,
    GroupName,
    InvalidJob,
    Payload,
    PersonName,
    Phone,
    Printable,
    WebhookId,
)
from actors.derived_key import NEUTRAL_ARGUMENTS, derived_digest
from coupontools.webhooks import identify

__all__ = [
    "JOBS",
    "AddContact",
    "CreateGroup",
    "Job",
    "ListContacts",
    "ListGroups",
    "VerifyWebhook",
    "parse_job",
]


class Job(BaseModel):
    """What all jobs have in common."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    actor: ClassVar[str]
    queue: ClassVar[str]
    #: Without a key of its own, does a job get one that is derived from what it is about? If not, it is carried out by itself.
    derives_key: ClassVar[bool] = True

    idempotency_key: Printable | None = Field(
        None, description="Two jobs of one actor with one key are one job."
    )
    correlation_id: Printable | None = Field(
        None, description="Echoed in logs and events, never interpreted."
    )
    deadline_seconds: Annotated[int, Field(gt=0)] | None = Field(
        None, description="How long this job may wait for an answer; else JOB_DEADLINE_SECONDS."
    )

    @classmethod
    def problems_together(cls, given: Mapping[str, Any]) -> list[ArgumentError]:  # noqa: ARG003 - for those who have such rules
        """What is wrong with arguments as they stand beside each other, whether or not each of them is right."""
        return []

    @property
    def subject(self) -> str | None:
        """The id that the job is about, where it names one."""
        group_id: str | None = getattr(self, "group_id", None)
        return group_id

    @property
    def scope(self) -> Literal["account", "sms", "email"]:
        """Whose troubles concern this job: its channel's, or the whole account's alone."""
        channel: Literal["sms", "email"] | None = getattr(self, "channel", None)
        return channel or "account"

    @property
    def meaning(self) -> dict[str, Any]:
        """All that is asked for, without what never makes two jobs different."""
        return self.model_dump(exclude=set(NEUTRAL_ARGUMENTS), exclude_none=True)

    @property
    def about(self) -> dict[str, Any]:
        """What a derived key is made of."""
        return self.meaning

    def fingerprint(self) -> str:
        """A digest of what is asked for: equal for the same job, however it was written down."""
        return derived_digest(self.actor, self.meaning)

    @property
    def key(self) -> str | None:
        """The idempotency key in force, given or derived; None where each job is carried out by itself."""
        if self.idempotency_key:
            return self.idempotency_key
        return f"derived:{derived_digest(self.actor, self.about)}" if self.derives_key else None


class AddContact(Job):
    """Adds one contact to an SMS or email group."""

    actor: ClassVar[str] = "add_contact"
    queue: ClassVar[str] = "contacts"

    channel: ChannelName
    group_id: GroupId
    phone: Phone | None = None
    email: Email | None = None
    first_name: PersonName | None = None
    last_name: PersonName | None = None
    custom_fields: CustomFields | None = None

    @property
    def about(self) -> dict[str, Any]:
        """The contact alone: a name that is spelled anew must not add anybody twice."""
        # Two addresses that differ in case reach one person nearly everywhere, and the API lists them as it likes.
        return {
            "channel": self.channel,
            "group_id": self.group_id,
            "to": self.phone or (self.email or "").lower(),
        }

    @classmethod
    def problems_together(cls, given: Mapping[str, Any]) -> list[ArgumentError]:
        """What does not fit the channel."""
        channel, custom_fields = given.get("channel"), given.get("custom_fields")
        if channel not in ("sms", "email"):
            return []
        problems = []
        needed, foreign = ("phone", "email") if channel == "sms" else ("email", "phone")
        if given.get(needed) is None:
            problems.append(ArgumentError(needed, f"is required for channel '{channel}'"))
        if given.get(foreign) is not None:
            problems.append(ArgumentError(foreign, f"is no argument for channel '{channel}'"))
        numbers = [str(number) for number in range(1, CUSTOM_FIELDS[channel] + 1)]
        problems += [
            ArgumentError(
                f"custom_fields.{number}",
                f"must be one of '1' to '{len(numbers)}' for channel '{channel}'",
            )
            for number in (custom_fields if isinstance(custom_fields, dict) else ())
            if number not in numbers
        ]
        return problems


class CreateGroup(Job):
    """Creates an SMS or email group."""

    actor: ClassVar[str] = "create_group"
    queue: ClassVar[str] = "groups"

    channel: ChannelName
    name: GroupName


class VerifyWebhook(Job):
    """Asks the API whether a received webhook is genuine."""

    actor: ClassVar[str] = "verify_webhook"
    queue: ClassVar[str] = "webhooks"

    payload: Payload | None = None
    webhook_id: WebhookId | None = None

    @classmethod
    def problems_together(cls, given: Mapping[str, Any]) -> list[ArgumentError]:
        """No webhook, or two."""
        payload, webhook_id = given.get("payload"), given.get("webhook_id")
        if payload is None and webhook_id is None:
            return [ArgumentError("payload", "is required unless webhook_id is given")]
        if (
            webhook_id is not None
            and isinstance(payload, dict)
            and payload.get("id", webhook_id) != webhook_id
        ):
            return [ArgumentError("webhook_id", "differs from the payload's id; give one of the two")]
        return []

    @property
    def subject(self) -> str | None:
        """The webhook's id."""
        return self.webhook_id or identify(self.payload or {})


class Listing(Job):
    """A job that shows what stands at the API now; an answer from memory would be an old one."""

    queue: ClassVar[str] = "reads"
    derives_key: ClassVar[bool] = False


class ListGroups(Listing):
    """Lists the SMS or email groups."""

    actor: ClassVar[str] = "list_groups"

    channel: ChannelName


class ListContacts(Listing):
    """Lists the contacts of one group."""

    actor: ClassVar[str] = "list_contacts"

    channel: ChannelName
    group_id: GroupId


#: Every job by the name of its actor.
JOBS: dict[str, type[Job]] = {
    job.actor: job for job in (AddContact, CreateGroup, VerifyWebhook, ListGroups, ListContacts)
}


def parse_job(model: type[Job], arguments: dict[str, Any]) -> Job:
    """Checks a job's arguments.

    Raises:
        InvalidJob: with one problem for each argument that breaks a rule.
    """
    problems: list[ArgumentError] = []
    try:
        job = model.model_validate(arguments)
    except ValidationError as error:
        entries = error.errors(include_url=False, include_input=False)
        problems = [_problem(model, entry) for entry in entries]
    # Whoever asked is told all at once; but of one argument, what is wrong with itself comes first.
    named = {problem.field for problem in problems}
    problems += [problem for problem in model.problems_together(arguments) if problem.field not in named]
    if problems:
        raise InvalidJob(problems)
    return job


def _problem(model: type[Job], entry: Any) -> ArgumentError:
    cause = entry.get("ctx", {}).get("error")
    field = ".".join(str(part) for part in entry["loc"])
    if isinstance(cause, ValueError):
        return ArgumentError(field, str(cause))
    if entry["type"] == "missing":
        return ArgumentError(field, "is required")
    if entry["type"] == "extra_forbidden":
        return ArgumentError(
            field, f"is no argument of {model.actor}; known are {', '.join(model.model_fields)}"
        )
    message = str(entry["msg"]).removeprefix("Input ")
    return ArgumentError(field, message[:1].lower() + message[1:])
