"""The list of pages: the navigation, the routes and the tests are derived from it. A new page is a module and its line here."""

from __future__ import annotations

from typing import Final

from workers.web import batches, before, dead, find, imports, now
from workers.web.page import Page

__all__ = ["PAGES"]

PAGES: Final[tuple[Page, ...]] = (now.PAGE, before.PAGE, find.PAGE, dead.PAGE, batches.PAGE, imports.PAGE)
