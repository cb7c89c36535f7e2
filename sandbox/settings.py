"""How the sandbox answers: credentials, what the vendor's document leaves open, latency; and how strictly it reads its inputs."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator


class Strict(BaseModel):
    """Refuses unknown fields and values of another type. All inputs of the sandbox derive from it."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class SandboxConfig(Strict):
    """Settings of one sandbox; all but `seed` and `log_limit` can be changed while it runs.

    Raises `pydantic.ValidationError` for an unknown name or a value of the wrong type.
    """

    client_id: str = "sandbox-id"
    client_secret: str = Field(default="sandbox-secret", repr=False)
    email_listing: bool = False
    """Whether the email `userlist` names each contact's `email`; the vendor's example does not."""
    envelope_status: Literal["200", "4xx"] = "4xx"
    """HTTP status of a failed envelope (not documented): 200, or 401 for code 1000 and 422 for all others."""
    envelope_form: Literal["documented", "number", "list"] = "documented"
    """Whether `error_code` is a number or a list; documented: a number for 1000, a list for all others."""
    latency_ms: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    """Milliseconds from carrying a call out to answering it."""
    old_webhook_answer: bool = False
    """Whether verification answers with the older field names: date, campaign, session, result."""
    seed: int = 0
    """Seed of the webhook ids; read at the start and at every reset."""
    log_limit: int = Field(default=200_000, ge=1)
    """How many calls the request log keeps; the oldest go first. Read at the start and at every reset."""

    @field_validator("envelope_status", mode="before")
    @classmethod
    def _number_as_text(cls, value: object) -> object:
        return "200" if value == 200 else value

    def shown(self) -> dict[str, object]:
        """Return the settings as the control API shows them: all but the secret."""
        return self.model_dump(exclude={"client_secret"})
