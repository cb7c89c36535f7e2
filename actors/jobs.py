"""What other services may ask for: the arguments of each job, checked and brought to one form."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

import orjson
from email_validator import SPECIAL_USE_DOMAIN_NAMES, EmailNotValidError, validate_email
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
)

from coupontools.webhooks import check_shape, identify

__all__ = [
    "JOBS",
    "AddContact",
    "ArgumentError",
    "CreateGroup",
    "InvalidJob",
    "Job",
    "ListContacts",
    "ListGroups",
    "VerifyWebhook",
    "derived_key",
    "parse_job",
]

#: The most custom fields each channel has; vendor's document, "Add contact".
CUSTOM_FIELDS = {"sms": 7, "email": 10}

# Syntax only: whether anybody can be reached under a name is for the API to say, and the vendor's own example is
# test@test.test ("Directory page"). https://github.com/JoshData/python-email-validator#special-use-domain-names
SPECIAL_USE_DOMAIN_NAMES.clear()


def _phone(value: str) -> str:
    number = re.sub(r"[ .()\-]", "", value)
    if not re.fullmatch(r"\+[1-9][0-9]{6,14}", number):
        raise ValueError("must be E.164: '+', then 7 to 15 digits, the first not 0, e.g. +32470123456")
    return number


def _email(value: str) -> str:
    try:
        checked = validate_email(value.strip(), check_deliverability=False, globally_deliverable=False)
    except EmailNotValidError as error:
        raise ValueError(f"must be one valid email address: {error}") from None
    if "." not in checked.domain:
        raise ValueError("must be one valid email address: the part after the @ has no dot")
    return checked.normalized


def _group_id(value: str) -> str:
    if not re.fullmatch(r"gro_[A-Za-z0-9]{1,64}", value):
        raise ValueError("must be 'gro_' followed by 1 to 64 letters or digits, e.g. gro_119251")
    return value


def _printable(value: str) -> str:
    if not 1 <= len(value) <= 255 or not value.isprintable():
        raise ValueError("must be 1 to 255 printable characters")
    return value


def _name(value: str) -> str:
    name = value.strip()
    if not 1 <= len(name) <= 255:
        raise ValueError("must be 1 to 255 characters after trimming")
    return name


def _webhook_id(value: str) -> str:
    if identify({"id": value}) is None:
        raise ValueError("must be 'evt_' followed by letters or digits")
    return value


def _payload(value: Any) -> Any:
    check_shape(value)
    return value


def _written_as(pattern: str, example: str) -> Any:
    """What the published JSON Schema says of a rule that a validator enforces."""
    return Field(json_schema_extra={"pattern": pattern, "examples": [example]})


GroupId = Annotated[str, AfterValidator(_group_id), _written_as("^gro_[A-Za-z0-9]{1,64}$", "gro_119251")]
Phone = Annotated[
    str,
    AfterValidator(_phone),
    _written_as(r"^[ .()\-]*\+[ .()\-]*[1-9]([ .()\-]*[0-9]){6,14}[ .()\-]*$", "+32470123456"),
]
Email = Annotated[
    str, AfterValidator(_email), Field(json_schema_extra={"format": "email", "examples": ["ada@example.com"]})
]
GroupName = Annotated[str, AfterValidator(_name), _written_as(r"^\s*\S[\s\S]*$", "Pizza lovers")]
WebhookId = Annotated[
    str, AfterValidator(_webhook_id), _written_as("^evt_[A-Za-z0-9]{1,64}$", "evt_5be2a5d9d0b2c")
]
Printable = Annotated[
    str, AfterValidator(_printable), Field(json_schema_extra={"minLength": 1, "maxLength": 255})
]
PersonName = Annotated[str, Field(max_length=255)]
ChannelName = Literal["sms", "email"]


class Job(BaseModel):
    """What all jobs have in common."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    actor: ClassVar[str]
    queue: ClassVar[str]

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

    def fingerprint(self) -> str:
        """A digest of what is asked for: equal for the same job, however it was written down."""
        meaning = self.model_dump(
            exclude={"idempotency_key", "correlation_id", "deadline_seconds"}, exclude_none=True
        )
        return derived_digest(self.actor, meaning)

    @property
    def key(self) -> str:
        """The idempotency key in force, given or derived."""
        return self.idempotency_key or f"derived:{self.fingerprint()}"


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
    custom_fields: (
        Annotated[
            dict[str, Annotated[str, Field(max_length=1000)]], AfterValidator(lambda given: given or None)
        ]
        | None
    ) = None

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

    payload: Annotated[dict[str, Any], BeforeValidator(_payload)] | None = None
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


class ListGroups(Job):
    """Lists the SMS or email groups."""

    actor: ClassVar[str] = "list_groups"
    queue: ClassVar[str] = "reads"

    channel: ChannelName


class ListContacts(Job):
    """Lists the contacts of one group."""

    actor: ClassVar[str] = "list_contacts"
    queue: ClassVar[str] = "reads"

    channel: ChannelName
    group_id: GroupId


#: Every job by the name of its actor.
JOBS: dict[str, type[Job]] = {
    job.actor: job for job in (AddContact, CreateGroup, VerifyWebhook, ListGroups, ListContacts)
}


class ArgumentError(ValueError):
    """An argument breaks a rule; says which and what would be right."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field
        self.message = message


class InvalidJob(Exception):  # noqa: N818 - named for what the answer calls it: kind "invalid"
    """The job's arguments break a rule: give up, nothing was sent."""

    def __init__(self, problems: list[ArgumentError]) -> None:
        # What somebody has called a custom field may be anything, a name among it; the text goes to the log.
        fields = [
            re.sub(r"^(custom_fields)\.(?![0-9]{1,3}$).*", r"\1", p.field, flags=re.DOTALL) for p in problems
        ]
        super().__init__(
            "; ".join(f"{field}: {p.message}" for field, p in zip(fields, problems, strict=True))
        )
        self.problems = problems


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


def derived_digest(actor: str, arguments: Any) -> str:
    """A digest of a job's arguments that does not depend on their order."""
    text = orjson.dumps([actor, arguments], option=orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS)
    return hashlib.sha256(text).hexdigest()[:40]


def derived_key(actor: str, arguments: dict[str, Any]) -> str:
    """The key in force for arguments that could not be checked: the one given if it can be used, else derived from the raw ones."""
    given = arguments.get("idempotency_key")
    if isinstance(given, str) and 1 <= len(given) <= 255 and given.isprintable():
        return given
    meaning = {
        name: value for name, value in arguments.items() if name not in {"correlation_id", "deadline_seconds"}
    }
    try:
        digest = derived_digest(actor, meaning)
    except orjson.JSONEncodeError:
        # What reads JSON takes 1,024 levels, what writes it 254.
        plain = {name: value for name, value in meaning.items() if not isinstance(value, dict | list)}
        digest = derived_digest(actor, plain)
    return f"derived:{digest}"
