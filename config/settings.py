"""Every setting, its default and its bounds.

A setting comes from the environment, else from `.env` in the working directory, else from a file of its name
in the folder `SECRETS_DIR` (Docker and Kubernetes secrets). An empty setting counts as not set.
"""

from __future__ import annotations

import hashlib
import os
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationInfo, field_validator
from pydantic_settings import (
    BaseSettings,
    DotEnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from config.base_url import check_base_url, same_for_all
from config.env_file import ENV_FILE
from config.few_settings import FEW, bare
from config.redis_url import check_redis_url, mask_redis_url
from config.secrets_dir import SecretFilesSource

__all__ = ["MOST_CONCURRENCY", "MOST_PROCESSES", "Settings"]

# Ten years: longer than anybody needs, and far from where timestamps in milliseconds overflow.
_LONGEST: Final = 10 * 365 * 86400.0

#: Also the bounds of the options of `run` that replace these settings.
MOST_PROCESSES: Final = 1024
MOST_CONCURRENCY: Final = 100_000
#: The shortest token, in characters.
SHORTEST_TOKEN: Final = 16

_Duration = Annotated[float, Field(gt=0, le=_LONGEST, allow_inf_nan=False)]
_Wait = Annotated[float, Field(ge=0, le=_LONGEST, allow_inf_nan=False)]
_RedisName = Annotated[str, Field(max_length=200)]


class Settings(BaseSettings):
    """What an operator sets; each field is the environment variable of its upper-case name.

    All times are in seconds and may be fractions. Raises pydantic's ValidationError; `load_settings` turns it
    into sentences for operators.
    """

    model_config = SettingsConfigDict(
        env_file=ENV_FILE,
        env_file_encoding="utf-8",
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        # An error must not carry a secret into a traceback.
        hide_input_in_errors=True,
    )

    redis_url: Annotated[str, AfterValidator(check_redis_url)] = Field(
        default="redis://127.0.0.1:6379/0", description="Redis with the queues and the ledger."
    )

    redis_wait_replicas: int = Field(
        default=0,
        ge=0,
        le=100,
        description="How many replicas must have a claim before the API is called; 0 = after a failover, a call may be sent twice.",
    )

    coupontools_client_id: str = Field(default="", description="The API client id; required to run.")
    coupontools_client_secret: SecretStr = Field(
        default=SecretStr(""), description="The API client secret; required to run."
    )
    coupontools_base_url: Annotated[str, AfterValidator(check_base_url)] = Field(
        default="https://api.coupontools.com", description="The address of the API."
    )
    coupontools_connect_timeout_seconds: _Duration = Field(
        default=5, description="How many seconds opening a connection to the API may take."
    )
    coupontools_timeout_seconds: _Duration = Field(
        default=30, description="How many seconds the API's answer may take."
    )
    coupontools_listing_timeout_seconds: _Duration = Field(
        default=300,
        description="How many seconds a whole listing may take; no gap in it may be longer than COUPONTOOLS_TIMEOUT_SECONDS.",
    )
    coupontools_rate_limit: float = Field(
        default=10,
        ge=0,
        le=1_000_000,
        allow_inf_nan=False,
        description="API requests a second over all workers of the account; 0 = no limit.",
    )

    job_deadline_seconds: _Duration = Field(
        default=86400, description="How many seconds a job may wait for its answer."
    )
    retry_min_seconds: _Duration = Field(
        default=1, description="The shortest backoff between two attempts, in seconds."
    )
    retry_max_seconds: _Duration = Field(
        default=600, description="The longest backoff between two attempts, in seconds."
    )
    read_back_after_seconds: _Wait = Field(
        default=15, description="How many seconds after a lost answer the API is asked what happened."
    )
    idempotency_ttl_seconds: _Duration = Field(
        default=604800, description="How many seconds an outcome is remembered."
    )

    broker_namespace: _RedisName = Field(
        default="dramatiq", description="What the queues' Redis keys start with."
    )
    key_prefix: _RedisName = Field(
        default="coupontools",
        description="What the worker's other Redis keys start with; no two namespaces may share a prefix, nor two prefixes a namespace.",
    )
    events_stream: _RedisName = Field(
        default="",
        validate_default=True,
        description="The Redis stream of events; empty = `<KEY_PREFIX>:events`.",
    )
    events_maxlen: int = Field(
        default=1_000_000, ge=1, le=10**12, description="About how many events the stream keeps."
    )

    state_dir: str = Field(
        default="",
        max_length=1000,
        description="The folder for this host's beats (read by `check --live`) and for the files that `web` imports; "
        "empty = a run-time folder of the user.",
    )
    worker_processes: int = Field(default=2, ge=1, le=MOST_PROCESSES, description="Worker processes.")
    worker_concurrency: int = Field(
        default=64, ge=1, le=MOST_CONCURRENCY, description="Jobs in flight in each process."
    )
    worker_heartbeat_seconds: _Duration = Field(
        default=15,
        description="A worker that is silent for this many seconds counts as dead; its jobs are taken over.",
    )
    shutdown_seconds: _Wait = Field(
        default=25, description="How many seconds the jobs in flight have to finish after SIGTERM."
    )

    log_format: Annotated[Literal["auto", "json", "console"], BeforeValidator(str.lower)] = Field(
        default="auto", description="json or console; auto = console on a terminal, json elsewhere."
    )
    log_level: Annotated[
        Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"], BeforeValidator(str.upper)
    ] = Field(default="INFO", description="The lowest level of lines that are written.")

    metrics_host: str = Field(
        default="127.0.0.1",
        description="The address at which metrics are served; 0.0.0.0 = also to other hosts and containers.",
    )
    metrics_port: int | None = Field(
        default=None,
        ge=1,
        le=65535,
        examples=[9191],
        description="The port at which Prometheus reads metrics (needs the extra `prometheus`); empty = no metrics.",
    )

    receiver_host: str = Field(
        default="127.0.0.1", description="The address at which `receive` takes webhooks."
    )
    receiver_port: int = Field(
        default=8080, ge=1, le=65535, description="The port at which `receive` takes webhooks."
    )
    receiver_token: SecretStr = Field(
        default=SecretStr(""),
        description="The secret at the end of the webhooks' address, at least 16 characters; required by `receive`.",
    )

    web_host: str = Field(
        default="127.0.0.1", description="The address at which `web` serves the operators' page."
    )
    web_port: int = Field(
        default=8081, ge=1, le=65535, description="The port at which `web` serves the operators' page."
    )
    web_token: SecretStr = Field(
        default=SecretStr(""),
        description="The secret that opens the operators' page, at least 16 characters; required by `web`.",
    )
    web_import_token: SecretStr = Field(
        default=SecretStr(""),
        description="A second secret, which opens only the import of files; empty = only operators can import files.",
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - pydantic-settings passes it by name
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Return the places to look for a setting; the first that has it wins."""
        in_file = dotenv_settings.env_vars if isinstance(dotenv_settings, DotEnvSettingsSource) else {}
        directory = os.environ.get("SECRETS_DIR") or in_file.get("secrets_dir")
        return init_settings, env_settings, dotenv_settings, SecretFilesSource(settings_cls, directory)

    @field_validator("*", mode="before")
    @classmethod
    def _strip(cls, value: Any) -> Any:
        return bare(value) if isinstance(value, str) else value

    @field_validator("coupontools_client_id", "coupontools_client_secret")
    @classmethod
    def _fits_a_header(cls, value: str | SecretStr) -> str | SecretStr:
        # Both are sent as HTTP headers (vendor's document, every example: X-Client-Id, X-Client-Secret).
        text = value.get_secret_value() if isinstance(value, SecretStr) else value
        if not all("!" <= c <= "~" for c in text):
            raise ValueError("must be printable ASCII characters without spaces")
        return value

    @field_validator("events_stream", mode="before")
    @classmethod
    def _of_the_prefix(cls, value: Any, info: ValidationInfo) -> Any:
        """Name the stream after the prefix: two accounts, each with its own prefix, must not write to one stream."""
        return value or f"{info.data.get('key_prefix', 'coupontools')}:events"

    @field_validator("receiver_token", "web_token", "web_import_token")
    @classmethod
    def _is_hard_to_guess(cls, value: SecretStr) -> SecretStr:
        token = value.get_secret_value()
        if token and (len(token) < SHORTEST_TOKEN or not all("!" <= c <= "~" for c in token)):
            raise ValueError(
                f"must be at least {SHORTEST_TOKEN} printable ASCII characters without spaces, hard to guess"
            )
        return value

    @field_validator("web_import_token")
    @classmethod
    def _opens_less(cls, value: SecretStr, info: ValidationInfo) -> SecretStr:
        if value.get_secret_value() and value == info.data.get("web_token"):
            raise ValueError("must differ from WEB_TOKEN, which opens every page")
        return value

    @field_validator("events_stream", "broker_namespace", "key_prefix")
    @classmethod
    def _check_name(cls, value: str) -> str:
        if not value or not all("!" <= c <= "~" for c in value):
            raise ValueError("must be a Redis key of printable ASCII characters without spaces")
        return value

    @field_validator("retry_max_seconds")
    @classmethod
    def _not_below_minimum(cls, value: float, info: ValidationInfo) -> float:
        minimum = info.data.get("retry_min_seconds")
        if minimum is not None and value < minimum:
            raise ValueError(f"must not be less than RETRY_MIN_SECONDS ({minimum:g}); got '{value:g}'")
        return value

    @classmethod
    def names(cls) -> list[str]:
        """Return the environment variables that are read."""
        return [*(name.upper() for name in cls.model_fields), "SECRETS_DIR"]

    @property
    def few(self) -> dict[str, str]:
        """Return those settings that a liveness probe reads by itself (`config.few_settings`)."""
        return {name: getattr(self, name) for name in FEW}

    @property
    def account(self) -> str:
        """Return the name of the account in Redis keys: a digest of the base URL and the client id."""
        account = f"{same_for_all(self.coupontools_base_url)}\n{self.coupontools_client_id}"
        return hashlib.sha256(account.encode()).hexdigest()[:12]

    @property
    def secret_name(self) -> str:
        """Return the name of the secret in Redis: a digest that distinguishes secrets and reveals none."""
        secret = f"{self.account}\n{self.coupontools_client_secret.get_secret_value()}"
        return hashlib.sha256(secret.encode()).hexdigest()[:12]

    def __repr_args__(self) -> Any:
        """Show everything but the secret and the password in the Redis address."""
        for name, value in super().__repr_args__():
            yield name, mask_redis_url(value) if name == "redis_url" else value
