"""Every Redis key of the project, in one table.

Ours start with ``KEY_PREFIX`` (here ``coupontools``), Dramatiq's with ``BROKER_NAMESPACE`` (here ``dramatiq``).

=============================================  ======  ============  =========================================================
key                                            type    written by    holds; lifetime
=============================================  ======  ============  =========================================================
``dramatiq:<queue>``                           list    producers     ids of ready jobs, the next one at the head
``dramatiq:<queue>.msgs``                      hash    producers     id -> message JSON, until the job is answered
``dramatiq:<queue>.DQ``, ``.DQ.msgs``          list,   stock         delayed messages of stock producers; emptied into
                                               hash    producers     ``coupontools:delayed:<queue>`` a moment later
``dramatiq:<queue>.XQ``                        zset    broker        ids of dead letters by time of death (ms); 7 days
``dramatiq:<queue>.XQ.msgs``                   hash    broker        id -> message JSON of dead letters; 7 days
``dramatiq:__acks__.<worker>.<queue>``         set     broker        ids that this worker has fetched and not answered
``dramatiq:__heartbeats__``                    zset    caretaker     worker id -> time of its last heartbeat (ms)
``dramatiq:__prefix__``                        string  broker        the ``KEY_PREFIX`` that this namespace belongs to
``coupontools:namespace``                      string  broker        the ``BROKER_NAMESPACE`` that this prefix belongs to
``coupontools:format``                         string  broker        the version of the stored data's format; rises when every living
                                                                     worker can read the new one
``coupontools:memory:<worker>``                string  caretaker     a number that grows with each heartbeat; when Redis has an older
                                                                     one or none, it has lost data; a day
``coupontools:forgot``                         hash    caretaker     when Redis was found to have forgotten something (ms), and how
                                                                     often; 7 days
``coupontools:delayed:<queue>``                zset    broker        ids of jobs that wait, by the time they are due (ms)
``coupontools:forward:<queue>``                set     caretaker     ids that were brought forward, being overdue or cancelled: their
                                                                     place in the list counts no more; until the list is empty, at
                                                                     most 90 days
``coupontools:sweep``                          hash    caretaker     which worker keeps the queues for all, which one looks for
                                                                     deadlines that passed (each until when), and how far that one
                                                                     has come in each list or parking place
``coupontools:deaths:<queue>``                 hash    caretaker     id -> how many workers have died with it in hand; until it is
                                                                     answered
``coupontools:suspects``                       hash    broker        worker -> the message that it tries alone, because workers died
                                                                     with it; a minute
``coupontools:epoch:<worker>:<queue>``         string  broker        the lowest number that a fetch of this worker may have: an older
                                                                     fetch that arrives late takes nothing; a day
``coupontools:workers``                        hash    caretaker     worker id -> JSON (queues, host, pid); with the heartbeat
``coupontools:dead:<queue>``                   hash    broker        id of a dead letter -> JSON (why it died); 7 days
``coupontools:events``                         stream  delivery      terminal events; capped at ``EVENTS_MAXLEN``
``coupontools:reply:<reply_to>``               list    delivery      the answers of jobs that asked for them there, the latest
                                                                     10,000; an hour after the last
``coupontools:batch:<digest>``                 hash    delivery      a batch's counts; ``IDEMPOTENCY_TTL_SECONDS`` after its last
                                                                     answer
``coupontools:batches``                        zset    delivery      the digests of batches, by their last answer (ms): the latest 10,000,
                                                                     each until its counts are gone and another batch is answered
``coupontools:minute:<n>``                     hash    delivery      what was answered in the minute that began n minutes after 1970,
                                                                     by lane and outcome; 2 days
``coupontools:age:<n>``                        hash    web           lane -> how old its oldest unanswered job was (ms) at some moment
                                                                     of the minute that began n minutes after 1970; 2 days
``coupontools:cancelled``                      hash    operators,    ``m:<message id>`` or ``b:<batch id>`` -> until when the mark catches
                                                       delivery      jobs that are sent (ms): until the outcome or the batch's counts
                                                                     would be forgotten; ``u:<message id>`` -> when it was found that
                                                                     this one may have been carried out (ms); how many were answered in
                                                                     the latest second; each 90 days, the hash 90 days after the last
``coupontools:answered:<message id>``          string  delivery      how this message failed, or its answer while its events are due;
                                                                     ``IDEMPOTENCY_TTL_SECONDS``
``coupontools:marks:<n>``                      hash    delivery      digest of a message id -> until when it is remembered that this
                                                                     message succeeded, and what it asked for; as its last mark
=============================================  ======  ============  =========================================================

The following keys belong to one account at the API, named by a digest of its base URL and client id. Another account begins without them.

=============================================  ======  ============  =========================================================
key                                            type    written by    holds; lifetime
=============================================  ======  ============  =========================================================
``coupontools:job:<account>:<actor>:<digest>``  hash   delivery      the ledger's record; ``IDEMPOTENCY_TTL_SECONDS`` after it was
                                                                     last asked for, unsettled 90 days
``coupontools:pages:<account>:<actor>:...``    list    delivery      pages of a listing, for a replay; as its record
``coupontools:staged:<account>:<actor>:...``   list    delivery      events of a long listing, the type before each, until they are
                                                                     written; 90 days
``coupontools:unknown:<account>:<listing>``    zset    delivery      records whose call's answer was lost, by their next look (ms);
                                                                     a listing is named by the actor that reads it and what it lists
``coupontools:reader:<account>:<listing>``     string  delivery      the reader lock: somebody reads this listing now, or did so a
                                                                     moment ago
``coupontools:name:<account>:<ch.>:<digest>``  string  delivery      which record creates a group of this name now
``coupontools:claimed:<account>:<ch.>:<id>``   set     delivery      the group id, which is a job's answer already; as a record
``coupontools:doubtful:<account>:<listing>``   hash    delivery      id of a row that shows too little to be told from others ->
                                                                     since when it is known (ms); at most 1,000, 90 days
``coupontools:pace:<account>``                 hash    delivery      the account's next free slot (µs), and what each lane had; a day
``coupontools:holds:<account>``                hash    delivery      hold -> JSON (why its work is held, and until when)
``coupontools:parked:<account>``               set     delivery      the names of the parking places that are not empty
``coupontools:parked:<account>:<place>``       zset    delivery      ids of jobs that a hold has parked, by when they were enqueued
                                                                     (ms); a place is a hold, a queue and a kind of job
``coupontools:still:<account>``                hash    delivery      since when the deadlines of a scope stand still (ms)
``coupontools:held:<account>:<scope>``         zset    delivery      the periods in which they stood still, by their end (ms); a year
``coupontools:troubles:<account>``             hash    delivery      how many calls in a row failed as in an outage; 10 min
``coupontools:told:<account>:<digest>``        hash    delivery      the API's answer about a webhook, and who asks now; 2 min
``coupontools:asking:<account>:<digest>``      zset    delivery      ids of messages that wait for that answer, and since when
                                                                     (ms); 10 min
``coupontools:alone:<account>``                hash    delivery      calls that are refused while others pass; a day
=============================================  ======  ============  =========================================================
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Self

from config.settings import Settings

__all__ = ["Keys", "QueueKeys"]


@dataclass(frozen=True, slots=True)
class QueueKeys:
    """The keys of one queue."""

    ready: str
    bodies: str
    delayed: str
    forward: str
    stock_delayed: str
    stock_delayed_bodies: str
    dead: str
    dead_bodies: str
    dead_reasons: str
    deaths: str


# Without slots, so that each name is built once and then kept in the instance: the scripts of each job take some twenty keys.
@dataclass(frozen=True)
class Keys:
    """Names every key from the two prefixes an operator sets."""

    prefix: str = "coupontools"
    namespace: str = "dramatiq"
    events: str = "coupontools:events"
    #: The account that outcomes, holds and pace belong to (``Settings.account``).
    account: str = "none"

    # Keys that need no argument; the table says what they hold.
    heartbeats = cached_property(lambda keys: f"{keys.namespace}:__heartbeats__")
    prefix_of = cached_property(lambda keys: f"{keys.namespace}:__prefix__")
    namespace_of = cached_property(lambda keys: f"{keys.prefix}:namespace")
    format = cached_property(lambda keys: f"{keys.prefix}:format")
    forgot = cached_property(lambda keys: f"{keys.prefix}:forgot")
    workers = cached_property(lambda keys: f"{keys.prefix}:workers")
    sweep = cached_property(lambda keys: f"{keys.prefix}:sweep")
    suspects = cached_property(lambda keys: f"{keys.prefix}:suspects")
    pace = cached_property(lambda keys: f"{keys.prefix}:pace:{keys.account}")
    holds = cached_property(lambda keys: f"{keys.prefix}:holds:{keys.account}")
    parked = cached_property(lambda keys: f"{keys.prefix}:parked:{keys.account}")
    still = cached_property(lambda keys: f"{keys.prefix}:still:{keys.account}")
    troubles = cached_property(lambda keys: f"{keys.prefix}:troubles:{keys.account}")
    alone = cached_property(lambda keys: f"{keys.prefix}:alone:{keys.account}")
    batches = cached_property(lambda keys: f"{keys.prefix}:batches")
    minutes = cached_property(lambda keys: f"{keys.prefix}:minute")
    ages = cached_property(lambda keys: f"{keys.prefix}:age")
    cancelled = cached_property(lambda keys: f"{keys.prefix}:cancelled")
    #: Never written: a script gets it in place of a key that its job does not have.
    none = cached_property(lambda keys: f"{keys.prefix}:none")

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """The keys that these settings name."""
        return cls(settings.key_prefix, settings.broker_namespace, settings.events_stream, settings.account)

    def queue(self, name: str) -> QueueKeys:
        """The keys of the queue ``name``."""
        ready = f"{self.namespace}:{name}"
        return QueueKeys(
            ready=ready,
            bodies=f"{ready}.msgs",
            delayed=f"{self.prefix}:delayed:{name}",
            forward=f"{self.prefix}:forward:{name}",
            stock_delayed=f"{ready}.DQ",
            stock_delayed_bodies=f"{ready}.DQ.msgs",
            dead=f"{ready}.XQ",
            dead_bodies=f"{ready}.XQ.msgs",
            dead_reasons=f"{self.prefix}:dead:{name}",
            deaths=f"{self.prefix}:deaths:{name}",
        )

    def acks(self, worker_id: str, queue: str) -> str:
        """What the worker ``worker_id`` has outstanding from ``queue``."""
        return f"{self.namespace}:__acks__.{worker_id}.{queue}"

    def memory(self, worker_id: str) -> str:
        """The number that the worker ``worker_id`` wrote with its last heartbeat."""
        return f"{self.prefix}:memory:{worker_id}"

    def epoch(self, worker_id: str, queue: str) -> str:
        """The lowest number that a fetch of ``worker_id`` from ``queue`` may have."""
        return f"{self.prefix}:epoch:{worker_id}:{queue}"

    def record(self, actor: str, digest: str) -> str:
        """The ledger's record of one idempotency key."""
        return f"{self.prefix}:job:{self.account}:{actor}:{digest}"

    def marks(self, number: int) -> str:
        """One of the hashes of marks, each of a message that succeeded."""
        return f"{self.prefix}:marks:{number:x}"

    def answered(self, message_id: str) -> str:
        """How a message was answered; set with its terminal event."""
        return f"{self.prefix}:answered:{message_id}"

    def pages(self, actor: str, digest: str) -> str:
        """The pages of a listing that is remembered."""
        return f"{self.prefix}:pages:{self.account}:{actor}:{digest}"

    def staged(self, actor: str, digest: str) -> str:
        """The events of a long listing that are ready to be written."""
        return f"{self.prefix}:staged:{self.account}:{actor}:{digest}"

    def unknown(self, listing: str) -> str:
        """Records that wait for this listing, because their calls' answers were lost."""
        return f"{self.prefix}:unknown:{self.account}:{listing}"

    def reader(self, listing: str) -> str:
        """The reader lock of this listing."""
        return f"{self.prefix}:reader:{self.account}:{listing}"

    def name_lock(self, channel: str, digest: str) -> str:
        """Which record may create a group of this name now."""
        return f"{self.prefix}:name:{self.account}:{channel}:{digest}"

    def claimed(self, channel: str, group_id: str) -> str:
        """This group is some job's answer already."""
        return f"{self.prefix}:claimed:{self.account}:{channel}:{group_id}"

    def doubtful(self, listing: str) -> str:
        """Rows of this listing that show too little to be told from others."""
        return f"{self.prefix}:doubtful:{self.account}:{listing}"

    def held(self, scope: str) -> str:
        """The periods in which the deadlines of a scope stood still."""
        return f"{self.prefix}:held:{self.account}:{scope}"

    def told(self, digest: str) -> str:
        """The API's answer to a question that several jobs ask."""
        return f"{self.prefix}:told:{self.account}:{digest}"

    def asking(self, digest: str) -> str:
        """Which messages wait for the answer to a question."""
        return f"{self.prefix}:asking:{self.account}:{digest}"

    def reply(self, name: str) -> str:
        """The list that a caller waits at."""
        return f"{self.prefix}:reply:{name}"

    def batch(self, digest: str) -> str:
        """The counts of a batch."""
        return f"{self.prefix}:batch:{digest}"
