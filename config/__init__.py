"""What an operator sets: the settings, and how the log is written (and what never stands in it)."""

from importlib import import_module
from typing import TYPE_CHECKING

from config.logging import log_loop_exception, setup_logging
from config.redact import redact_text, register_secret
from config.redis_url import SentinelAddress, parse_sentinel_url

if TYPE_CHECKING:
    from config.settings import Settings, SettingsError, load_settings
else:

    def __getattr__(name: str) -> object:
        """Load the settings for the first who asks: they need pydantic, and the supervisor writes a log without them."""
        if name in {"Settings", "SettingsError", "load_settings"}:
            return getattr(import_module("config.settings"), name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = [
    "SentinelAddress",
    "Settings",
    "SettingsError",
    "load_settings",
    "log_loop_exception",
    "parse_sentinel_url",
    "redact_text",
    "register_secret",
    "setup_logging",
]
