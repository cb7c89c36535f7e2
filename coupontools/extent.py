"""Whether an answer itself says that it is incomplete, or that it comes from a cache.

The vendor documents neither paging nor caches. If the API began to page, or a cache were put in front of it, a listing could look
complete that is not, and each call whose effect is on another page would be made again.
"""

import re
from collections.abc import Iterable, Mapping

# Names are compared by their letters alone, without the `x-` of headers.
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
# Not \b: Akamai and Azure write TCP_HIT, TCP_MEM_HIT and the like. "fresh" is Symfony's and Rack's word for a hit.
_FROM_CACHE = re.compile(r"(?<![a-z])(hit|fresh|stale|updating|revalidated)(?![a-z])", re.IGNORECASE)
_NEXT_LINK = re.compile(r"\brel\s*=\s*\"?[^\",;]*\bnext\b", re.IGNORECASE)
_PARTIAL_CONTENT = 206


def is_all_and_of_now(
    status: int, headers: Mapping[str, str], told: Mapping[str, object], listed: int
) -> bool:
    """Return whether nothing says that there are more items than were listed, or that the answer comes from a cache.

    `told` are the values beside the list, by their names (inside an object: joined by dots).
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
    # Age: RFC 9111, section 5.1; two caches in a row may both add it. Common caches report a hit in headers such as X-Cache.
    return any(_number(age) > 0 for age in headers.get("age", "").split(",")) or any(
        "cache" in name.lower() and "control" not in name.lower() and _FROM_CACHE.search(value)
        for name, value in headers.items()
    )


def _says_more(name: str, value: object, listed: int) -> bool:
    parts = list(_names(name))
    return (
        (parts[-1] in _TOTALS and _number(value) > listed)
        or (parts[-1] in _PAGES and _number(value) > 1)
        # Any part of the path counts, for objects: {"next": {"href": "https://..."}}
        or (not _MORE.isdisjoint(parts) and str(value).strip().lower() not in _NOTHING)
    )


def _names(path: str) -> Iterable[str]:
    for name in path.lower().removeprefix("x-").split("."):
        yield re.sub("[^a-z]", "", name)


def _number(value: object) -> int:
    """Return a whole number; 0 for anything else."""
    told = str(value).strip()
    return int(told) if re.fullmatch("[0-9]{1,15}", told) else 0
