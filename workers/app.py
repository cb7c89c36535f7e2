"""The module for Dramatiq's own command line: ``dramatiq workers.app --processes 1 --threads 1``.

``coupontools-worker run`` does the same and more: it replaces processes that die, and drains at whatever signal stops it.
"""

from __future__ import annotations

import dramatiq

from config import load_settings, setup_logging
from workers.assembly import assemble

settings = load_settings()
setup_logging(settings.log_format, settings.log_level)
broker = assemble(settings, concurrency=settings.worker_concurrency)
dramatiq.set_broker(broker)
