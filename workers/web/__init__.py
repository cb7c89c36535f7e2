"""The operators' page: what `status`, `job`, `dead`, `batches`, `pause` and `cancel` show and do, in a browser."""

from workers.web.server import serve

__all__ = ["serve"]
