"""One call to the API: its headers, its time limits, and its answer judged."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote

import orjson

from coupontools.dialect import AboutAnotherError, UnreadableError, names_effect, unwrapped
from coupontools.endpoints import Endpoint
from coupontools.envelope import FINAL_CODES, Reply, judge, without_envelope
from coupontools.errors import MayHaveHappened, Rejected
from coupontools.exchange import Answer, Exchange
from coupontools.mending import Beginning, Mender

if TYPE_CHECKING:
    from coupontools.transport import Http, Route

ANSWER_BYTES = 1 << 20
"""The longest answer that is read, except of a listing."""

T = TypeVar("T")

_TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
# Two keys must never look alike on the wire: "%" is the escape itself, and a blank at either end would be lost.
_UNSAFE_IN_KEY = re.compile(r"^ +| +$|[^ -~]+|%")


@dataclass(frozen=True, slots=True)
class Call:
    """What one call carries besides its parameters.

    `before_send` is called just before the first byte is written, when the connection is open; if it raises,
    nothing is sent and its exception reaches the caller unchanged. `idempotency_key` and `traceparent`
    become headers; a traceparent that W3C Trace Context calls invalid is left out.
    """

    before_send: Callable[[], None] | None = None
    idempotency_key: str | None = None
    traceparent: str | None = None


def idempotency_header(key: str) -> str:
    """Return a key as a header value, percent-encoded but for printable ASCII; different keys differ."""
    return _UNSAFE_IN_KEY.sub(lambda found: quote(found[0].encode("utf-8", "surrogatepass"), safe=""), key)


class Caller:
    """Makes calls for one account. Never shows the secret: not in `repr`, errors, or logs."""

    def __init__(
        self,
        http: Http,
        *,
        base_url: str,
        client_id: str,
        client_secret: str,
        connect_timeout: float,
        timeout: float,
        listing_timeout: float,
    ) -> None:
        self._http = http
        self._base_url = base_url
        self._secret = client_secret
        self._connect_timeout = connect_timeout
        self._timeout = timeout
        self._listing_timeout = listing_timeout
        self._headers = {
            "X-Client-Id": client_id,
            "X-Client-Secret": client_secret,
            "Content-Type": "application/json",
            "Accept": "application/json",
            # Only gzip is decompressed in pieces of bounded size on every machine.
            "Accept-Encoding": "gzip",
            "User-Agent": f"coupontools-worker/{_version()}",
        }
        #: The part of the request that all calls of an endpoint share, written at the first of them.
        self._routes: dict[tuple[str, bool], Route] = {}

    async def ask(
        self,
        endpoint: Endpoint,
        parameters: Mapping[str, str],
        call: Call,
        read: Callable[[Mapping[str, Any]], T],
    ) -> T:
        """Return what `read` makes of an answer that says OK.

        Raises:
            CoupontoolsError: any of its subclasses, as the answer means; MayHaveHappened for an OK that `read` cannot read.
        """
        about = (endpoint.path, *sorted(parameters.items()), call.idempotency_key)
        answer = await self._post(endpoint, parameters, call, total=self._timeout, idle=None)
        try:
            reply = self.reply(answer, endpoint)
            document = await answer.read(ANSWER_BYTES)
        finally:
            answer.close()
        told = _read(document)
        if told is None:
            words = "the answer is no JSON object" if document else "the answer is empty"
            raise without_envelope(reply, words, broken=True)
        try:
            judge(reply, told.get("status"))
        except Rejected as refused:
            if refused.code not in FINAL_CODES and names_effect(endpoint.operation, told):
                # Neither is proven, and a second call would double what was done.
                raise MayHaveHappened(
                    f"the answer tells of a failure and of a success: {refused.message}", status=reply.status
                ) from None
            raise
        try:
            result = read(told)
        except UnreadableError as failure:
            answer.drop_connection()
            another = isinstance(failure, AboutAnotherError)
            raise MayHaveHappened(str(failure), status=reply.status, another=another) from None
        # Only the id tells the answer of one new group from another's, so a left-over answer is recognised by its whole text.
        if endpoint.operation == "create_group" and answer.is_left_over(document, about):
            answer.drop_connection()
            raise MayHaveHappened("the answer came before, to another call", status=reply.status)
        return result

    async def stream(self, endpoint: Endpoint, parameters: Mapping[str, str], call: Call) -> Answer:
        """Send a call whose answer the caller reads piece by piece, and must close.

        Each wait has the time limit of a call, the whole answer that of a listing.
        """
        limits = {"total": self._listing_timeout, "idle": self._timeout}
        # No kept connection: a left-over listing of a moment ago would seem to prove that a contact added since is not there.
        return await self._post(endpoint, parameters, call, **limits, keep_alive=False)

    def reply(self, answer: Answer, endpoint: Endpoint) -> Reply:
        """Return what judging this answer needs."""
        return Reply(answer.status, answer.headers, endpoint.channel, self._conceal)

    async def _post(
        self,
        endpoint: Endpoint,
        parameters: Mapping[str, str],
        call: Call,
        *,
        total: float | None,
        idle: float | None,
        keep_alive: bool = True,
    ) -> Answer:
        headers = {}
        if call.idempotency_key is not None:
            headers["Idempotency-Key"] = idempotency_header(call.idempotency_key)
        if call.traceparent is not None and _TRACEPARENT.fullmatch(call.traceparent):
            headers["traceparent"] = call.traceparent
        exchange = Exchange(
            connect_timeout=self._connect_timeout,
            total_timeout=total,
            idle_timeout=idle,
            before_send=call.before_send,
        )
        route = self._route(endpoint.path, keep_alive=keep_alive)
        return await self._http.post(route, content=_document(parameters), headers=headers, exchange=exchange)

    def _route(self, path: str, *, keep_alive: bool) -> Route:
        route = self._routes.get((path, keep_alive))
        if route is None:
            route = self._http.route(self._base_url + path, self._headers, keep_alive=keep_alive)
            self._routes[path, keep_alive] = route
        return route

    def _conceal(self, text: str) -> str:
        return text.replace(self._secret, "***")


def _read(document: bytes) -> Mapping[str, Any] | None:
    """Return an answer's document as an object; None if it is no JSON object."""
    told = _parsed(Beginning().feed(document))
    return unwrapped(told) if isinstance(told, dict) else None


def _parsed(document: bytes) -> object:
    for mend in (bytes, Mender().feed):
        try:
            return orjson.loads(mend(document))
        except orjson.JSONDecodeError:
            continue
    return None


def _document(parameters: Mapping[str, str]) -> bytes:
    try:
        # An empty object, not an empty list, stands for no parameters (vendor's document, 'List groups').
        return orjson.dumps(dict(parameters))
    except orjson.JSONEncodeError:
        failure = ValueError("a parameter holds half a surrogate pair, which UTF-8 cannot carry")
    raise failure


def _version() -> str:
    try:
        return version("coupontools-worker")
    except PackageNotFoundError:  # run from a checkout that is not installed
        return "0"
