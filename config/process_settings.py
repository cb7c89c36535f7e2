"""The settings of this process, read once at its start: those that its command needs must be set, and the log never shows the secrets."""

from __future__ import annotations

from pydantic import Field, SecretStr, ValidationError

from config.env_file import ENV_FILE, anybody_may_write
from config.redact import register_secret
from config.redis_url import redis_passwords
from config.settings import Settings
from config.settings_error import SettingsError, describe_errors

__all__ = ["load_receiver_settings", "load_settings", "load_web_settings"]


class _RunSettings(Settings):
    """The settings of a process that calls the API."""

    coupontools_client_id: str = Field(min_length=1)
    coupontools_client_secret: SecretStr = Field(min_length=1)


class _ReceiverSettings(Settings):
    """The settings of the receiver, which never calls the API."""

    receiver_token: SecretStr = Field(min_length=1)


class _WebSettings(Settings):
    """The settings of the operators' page, which never calls the API either."""

    web_token: SecretStr = Field(min_length=1)


def load_settings(require_credentials: bool = True) -> Settings:  # noqa: FBT001, FBT002 - the agreed signature
    """Read the settings of this process, and make its secrets known to the log's redaction.

    Without `require_credentials` (commands that never call the API) the client id and secret may be missing, and an `.env` that anybody may
    write is no error.
    Raises SettingsError, which holds one sentence for each wrong or missing setting.
    """
    if not require_credentials:
        return _read(Settings)
    _refuse_a_file_that_anybody_may_write()
    return _read(_RunSettings)


def load_receiver_settings() -> Settings:
    """Read the settings of the webhook receiver: as `load_settings` does, but its token is required, and the credentials are not."""
    _refuse_a_file_that_anybody_may_write()
    return _read(_ReceiverSettings)


def load_web_settings() -> Settings:
    """Read the settings of the operators' page: as `load_settings` does, but its token is required, and the credentials are not."""
    _refuse_a_file_that_anybody_may_write()
    return _read(_WebSettings)


def _refuse_a_file_that_anybody_may_write() -> None:
    # Anybody who can change this file can have the credentials, and everybody's numbers, sent wherever they like.
    if anybody_may_write():
        raise SettingsError([f"{ENV_FILE}: must not be writable by everybody; run chmod o-w {ENV_FILE}"])


def _read(kind: type[Settings]) -> Settings:
    try:
        settings = kind()
    except ValidationError as error:
        raise SettingsError(describe_errors(Settings, error)) from None
    except UnicodeDecodeError:
        raise SettingsError([f"{ENV_FILE}: must be UTF-8 text"]) from None
    except OSError as error:
        raise SettingsError([f"{ENV_FILE}: cannot be read: {error.strerror}"]) from None
    secrets = [value.get_secret_value() for _, value in settings if isinstance(value, SecretStr)]
    for secret in [*secrets, *redis_passwords(settings.redis_url)]:
        register_secret(secret)
    return settings
