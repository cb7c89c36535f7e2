"""What an operator sets: the settings, and how the log is written (and what it never contains)."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from config.known import know, mask_known
    from config.logging import log_loop_exception, setup_logging
    from config.process_settings import load_settings
    from config.redact import redact_text, register_secret
    from config.redis_url import SentinelAddress, parse_sentinel_url
    from config.settings import Settings
    from config.settings_error import SettingsError
else:
    _HOMES = {
        "know": "config.known",
        "mask_known": "config.known",
        "log_loop_exception": "config.logging",
        "setup_logging": "config.logging",
        "redact_text": "config.redact",
        "register_secret": "config.redact",
        "SentinelAddress": "config.redis_url",
        "parse_sentinel_url": "config.redis_url",
        "Settings": "config.settings",
        "SettingsError": "config.settings_error",
        "load_settings": "config.process_settings",
    }

    def __getattr__(name: str) -> object:
        """Load a module at its first use: settings need pydantic, the supervisor's log does not, a liveness probe needs neither."""
        if name in _HOMES:
            return getattr(import_module(_HOMES[name]), name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = [
    "SentinelAddress",
    "Settings",
    "SettingsError",
    "know",
    "load_settings",
    "log_loop_exception",
    "mask_known",
    "parse_sentinel_url",
    "redact_text",
    "register_secret",
    "setup_logging",
]
