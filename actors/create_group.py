"""create_group: creates an SMS or email group. Read back by name, among groups that were not there before the call."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Iterator
from typing import Any, ClassVar, Literal

from actors.arguments import ChannelName, GroupName, composed
from actors.event_data import ONE_CALL, Answer
from actors.job import Job
from coupontools import (
    Call,
    Channel,
    Coupontools,
    comparable_name,
    shown_beginnings,
    shown_uncounted,
    spellings,
)
from delivery import KnownIds, Outcome, Unknown, Verdict

__all__ = ["CreateGroup"]

#: A mark at the end of a baseline: other groups may have the name, too. No group has this id.
AND_OTHERS = "*"
#: The most ids in a baseline, and the most new ones that a read back asks Redis about, for one name.
MOST_OLDER = 1000
MOST_NEW = 100
#: If more ids than both together may have a name, nobody can tell which are new. One more is kept, to show that there are too many.
MOST_ALIKE = MOST_OLDER + MOST_NEW + 1


class GroupCreated(Answer):
    """create_group succeeded."""

    examples: ClassVar = [{"channel": "sms", "group_id": "gro_119251", "name": "Pizza lovers", **ONE_CALL}]

    channel: Literal["sms", "email"]
    group_id: str
    name: str


class CreateGroup(Job):
    """Creates an SMS or email group."""

    examples: ClassVar = [{"channel": "sms", "name": "Pizza lovers"}]

    # Names need not be unique at the API, so a group of the right name may be anybody's. Three rules show which group is the
    # job's: only one job at a time creates a group of one name; the ids that had this name before the job's first call are
    # noted; and ids that became a job's answer are remembered.

    actor = "create_group"
    queue = "groups"
    succeeds: ClassVar = {"group.created": GroupCreated}
    failed = "group.failed"
    effect = True
    named = True

    channel: ChannelName
    name: GroupName

    @property
    def meaning(self) -> dict[str, Any]:
        """All arguments that count, with accents in one form: a name is the same however its accents are encoded."""
        meaning: dict[str, Any] = composed(super().meaning)
        return meaning

    async def call(self, api: Coupontools, call: Call) -> Outcome:
        """Create the group once."""
        group = await api.channel(Channel(self.channel)).create_group(self.name, call)
        return self._created(group.group_id, self.name)

    def recalled(self, *kept: Any) -> Outcome:
        """The group that was created, with the name from the listing if that differs from the job's."""
        group_id, *listed = kept
        return self._created(group_id, *(listed or [self.name]))

    def listing(self) -> str:
        """The channel's groups."""
        return f"groups:{self.channel}"

    def needle(self) -> str:
        """The group's name in its comparable form."""
        return comparable_name(self.name)

    def taken_name(self) -> str:
        """The name in lower case: jobs of one name in one channel run one after the other, also if the names differ only in case."""
        return self.needle().casefold()

    async def baseline(self, api: Coupontools, call: Call) -> list[str]:
        """Return the ids of groups that may have this name already; and AND_OTHERS if not all were listed, or too many may have it."""
        names = ListedNames([self.needle()])
        async with api.channel(Channel(self.channel)).list_groups(call) as listing:
            async for group in listing:
                names.see(group.group_id, group.name)
            ids = sorted(names.same(self.needle()).keys() | names.alike(self.needle()))
            told_all = listing.complete and len(ids) <= MOST_OLDER
            return ids[:MOST_OLDER] if told_all else [*ids[:MOST_OLDER], AND_OTHERS]

    async def read_back(
        self, api: Coupontools, call: Call, unknowns: list[Unknown], ids: KnownIds
    ) -> AsyncIterator[Verdict]:
        """Look for each unknown group by name: the one id that is neither older than the call nor another job's."""
        names = ListedNames([unknown.needle for unknown in unknowns])
        async with api.channel(Channel(self.channel)).list_groups(call) as listing:
            async for group in listing:
                names.see(group.group_id, group.name)
            complete = listing.complete
        contested = {
            group_id
            for unknown in unknowns
            if names.same(unknown.needle).keys() <= set(unknown.baseline)
            for group_id in names.cut(unknown.needle)
        }
        for unknown in unknowns:
            same, alike = names.same(unknown.needle), names.alike(unknown.needle)
            new = (same.keys() | alike).difference(unknown.baseline)
            # Asking Redis about thousands of ids would hold up all other jobs, and nobody could tell anyway which of so many new
            # groups of one name is the job's.
            told_all = complete and len(new) <= MOST_NEW
            if told_all and new:
                new -= await ids.claimed(self.channel, new)
            if not told_all or (new and AND_OTHERS in unknown.baseline):
                # The group, or an older one of its name, may be among those that the API counts but does not list.
                yield Verdict(unknown, "undecided")
            elif len(found := new & same.keys()) == 1 and found.isdisjoint(contested):
                group_id = found.pop()
                yield Verdict(unknown, "found", {"group_id": group_id, "name": same[group_id]})
            else:
                # Two new groups of one name: somebody else made one, and nobody can tell which. Nor can anybody tell whether
                # a new group whose name is not shown whole is this one or another.
                yield Verdict(unknown, "undecided" if new else "absent")

    def found(self, evidence: dict[str, Any]) -> Outcome:
        """The group as the listing shows it."""
        return self._created(evidence["group_id"], evidence.get("name", self.name))

    def _created(self, group_id: str, name: str) -> Outcome:
        data = {"channel": self.channel, "group_id": group_id, "name": name}
        kept = (group_id, *(() if name == self.name else (name,)))
        return Outcome("group.created", data, subject=group_id, claims=group_id, kept=kept)


class ListedNames:
    """The groups of a listing that have, or could have, one of the names looked for."""

    def __init__(self, names: Iterable[str]) -> None:
        self._same: dict[str, dict[str, str]] = {name: {} for name in names}
        #: For each of the names: the ids that may have it, each with the length of the name that the listing shows.
        self._alike: dict[str, dict[str, int]] = defaultdict(dict)
        self._longest = 0
        self._nameless: set[str] = set()
        #: The spellings of all names, sorted: those that begin with the same letters are neighbours, which finds names that are cut.
        self._forms = sorted({(form, name) for name in self._same for form in spellings(name)})

    def see(self, group_id: str, told: str) -> None:
        """Take note of a group."""
        self._longest = max(self._longest, len(told))
        if (name := comparable_name(told)) in self._same:
            self._same[name][group_id] = told
        beginnings = shown_beginnings(told)
        if "" in beginnings:
            if len(self._nameless) < MOST_ALIKE:
                self._nameless.add(group_id)
            return
        alike = {wanted for beginning in beginnings for wanted in self._that_begin(beginning)}
        if (uncounted := shown_uncounted(told)) is not None:
            alike |= set(self._that_begin(uncounted, whole=True))
        for wanted in alike - {name}:
            if len(self._alike[wanted]) < MOST_ALIKE:
                self._alike[wanted][group_id] = len(told)

    def _that_begin(self, beginning: str, *, whole: bool = False) -> Iterator[str]:
        for at in range(bisect_left(self._forms, (beginning, "")), len(self._forms)):
            form, wanted = self._forms[at]
            if not form.startswith(beginning) or (whole and form != beginning):
                break
            yield wanted

    def same(self, name: str) -> dict[str, str]:
        """Return the ids that have this name, with the name as it is listed."""
        return self._same[name]

    def alike(self, name: str) -> set[str]:
        """Return the ids that may have this name: the listing shows them without a name, cut off, or in another case."""
        return self._alike[name].keys() | self._nameless

    def cut(self, name: str) -> set[str]:
        """Return the ids whose names may be this name cut off: those of the greatest length, since all names are cut to one length."""
        return {group_id for group_id, length in self._alike[name].items() if length == self._longest}
