"""Whether an answer itself says that it is not all there is, or that it is not of now.

The vendor documents neither paging nor caches. An API that begins to page, or a cache in front of it, would make a listing
look complete that is not, and each call whose effect stands on another page would be made again.
"""

import re
from collections.abc import Iterable, Mapping

# Names are compared without what is no letter, and without the x of headers.
_TOTALS = frozenset(
    f"{word}{of}"
    for word in ("total", "totalcount", "totalnumberof", "grandtotal")
    for of in ("", "contacts", "groups", "items", "rows", "records", "results", "entries")
) | {"paginationtotal", "paginationtotalcount", "recordsfound", "resultcount", "rowcount"}
_PAGES = frozenset(
    {"pages", "pagecount", "totalpages", "totalpagecount", "lastpage", "numpages", "numberofpages",
     "paginationpagecount", "paginationtotalpages"}
)  # fmt: skip
_MORE = frozenset(
    {"next", "nextpage", "nextpageurl", "nexturl", "nextlink", "nextcursor", "nexttoken", "nextpagetoken",
     "nextoffset", "hasnext", "hasnextpage", "hasmore", "more", "moreresults", "morerecords", "continuation",
     "continuationtoken", "truncated", "istruncated", "partial", "ispartial"}
)  # fmt: skip
_NOTHING = frozenset({"", "0", "false", "no", "none", "null"})
_FROM_CACHE = re.compile(r"\b(hit|stale|updating|revalidated)\b", re.IGNORECASE)
_NEXT_LINK = re.compile(r"\brel\s*=\s*\"?[^\",;]*\bnext\b", re.IGNORECASE)
_PARTIAL_CONTENT = 206


def is_all_and_of_now(
    status: int, headers: Mapping[str, str], told: Mapping[str, object], listed: int
) -> bool:
    """Return whether nothing says that there are more items than were listed, or that a cache kept the answer.

    `told` are the values beside the list, by their names (joined by dots where they stand in an object).
    """
    return (
        200 <= status <= 299
        and status != _PARTIAL_CONTENT
        and not _is_from_cache(headers)
        and "content-range" not in headers
        and not _NEXT_LINK.search(headers.get("link", ""))
        and not any(_says_more(name, value, listed) for name, value in (*told.items(), *headers.items()))
    )


def _is_from_cache(headers: Mapping[str, str]) -> bool:
    # Age: RFC 9111, section 5.1. The others are how common caches tell of themselves.
    return _number(headers.get("age")) > 0 or any(
        "cache" in name.lower() and "control" not in name.lower() and _FROM_CACHE.search(value)
        for name, value in headers.items()
    )


def _says_more(name: str, value: object, listed: int) -> bool:
    parts = list(_names(name))
    return (
        (parts[-1] in _TOTALS and _number(value) > listed)
        or (parts[-1] in _PAGES and _number(value) > 1)
        # An object: {"next": {"href": "https://..."}}
        or (not _MORE.isdisjoint(parts) and str(value).strip().lower() not in _NOTHING)
    )


def _names(path: str) -> Iterable[str]:
    for name in path.lower().removeprefix("x-").split("."):
        yield re.sub("[^a-z]", "", name)


def _number(value: object) -> int:
    """Return a whole number; 0 for what is none."""
    told = str(value).strip()
    return int(told) if re.fullmatch("[0-9]{1,15}", told) else 0
