"""What an operator sets: the settings, and how the log is written (and what never stands in it)."""

from config.logging import log_loop_exception, setup_logging
from config.personal import mask_email, mask_phone
from config.redact import redact_text, register_secret
from config.redis_url import SentinelAddress, parse_sentinel_url
from config.settings import Settings, SettingsError, load_settings

__all__ = [
    "SentinelAddress",
    "Settings",
    "SettingsError",
    "load_settings",
    "log_loop_exception",
    "mask_email",
    "mask_phone",
    "parse_sentinel_url",
    "redact_text",
    "register_secret",
    "setup_logging",
]
