"""The identity rules in plain Python: written from their text, sharing nothing with the models.

Values come clean here (cleaning has tests of its own); what is left are the rules about who is who.
Identifiers are tuples (type, value), an amplitude id's value a number; one namespace.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

Identifier = tuple[str, int | str]
LAST = float("inf")
RANK = {"amplitude_id": 1, "user_id": 2, "device_id": 3}


@dataclass(frozen=True)
class Row:
    """One row of evidence: its key, its hour (None: no readable time) and what stood in it."""

    key: str
    hour: float | None
    amplitude_id: int | None
    user_id: str | None
    device_id: str | None
    properties: Mapping[str, str] = field(default_factory=dict, hash=False, compare=False)

    @property
    def order(self) -> float:
        """Its place where the first is asked for."""
        return LAST if self.hour is None else self.hour


@dataclass(frozen=True)
class Rules:
    """Settings and seeds."""

    junk: frozenset[str] = frozenset({"null"})
    device_linking: str = "first_known_user"
    max_user_ids_per_device: int = 5
    links: tuple[tuple[Identifier, Identifier], ...] = ()
    separations: tuple[tuple[Identifier, Identifier], ...] = ()


@dataclass(frozen=True)
class Link:
    """One candidate: class, ends, the time it is dated by, and what decides among equals."""

    kind: str
    left: Identifier
    right: Identifier
    hour: float = LAST

    @property
    def place(self) -> tuple[object, ...]:
        """Its place among the candidates of its left identifier (ID-7)."""
        classes = ("override", "observed", "merged", "device")
        hour = 0.0 if self.kind == "override" else self.hour
        return (classes.index(self.kind), hour, order_of(self.right))


def order_of(identifier: Identifier) -> tuple[object, ...]:
    """Smallest first: amplitude ids as numbers, then user ids, then devices, by their bytes."""
    kind, value = identifier
    return (RANK[kind], value if isinstance(value, int) else value.encode())


class Reference:
    """Everything the rules say about some rows and merges."""

    def __init__(
        self, rows: Iterable[Row], merges: Iterable[tuple[int, int, float]], rules: Rules
    ) -> None:
        self.rules = rules
        self.rows = sorted(rows, key=lambda row: (row.order, row.key))
        self._drop_junk()
        self._drop_contaminated()
        self.merges = [
            merge
            for merge in merges
            if merge[0] != merge[1] and not {merge[0], merge[1]} & self.contaminated
        ]
        self.users_on = defaultdict(set)
        for row in self.rows:
            if row.device_id and row.user_id:
                self.users_on[row.device_id].add(row.user_id)
        self.shared = {
            device
            for device, users in self.users_on.items()
            if len(users) > rules.max_user_ids_per_device
        }
        self.candidates = self._candidates()
        self.first = {
            left: min(links, key=lambda link: link.place) for left, links in self.candidates.items()
        }
        self._open_circles()
        self._separate()
        self._name_persons()

    # -- rows -----------------------------------------------------------------------------------

    def _drop_junk(self) -> None:
        junk = self.rules.junk
        self.with_junk_user = {
            row.amplitude_id for row in self.rows if row.user_id and row.user_id.lower() in junk
        }

        def usable(value: str | None) -> str | None:
            return None if value is None or value.lower() in junk else value

        self.rows = [
            Row(
                row.key,
                row.hour,
                row.amplitude_id,
                usable(row.user_id),
                usable(row.device_id),
                {k: v for k, v in row.properties.items() if v.lower() not in junk},
            )
            for row in self.rows
        ]

    def _drop_contaminated(self) -> None:
        devices = defaultdict(set)
        known = set()
        for row in self.rows:
            if row.amplitude_id is not None and row.device_id:
                devices[row.amplitude_id].add(row.device_id)
            if row.user_id:
                known.add(row.amplitude_id)
        self.contaminated = {
            number
            for number in self.with_junk_user - known
            if number is not None and len(devices[number]) > 1
        }
        self.rows = [
            Row(row.key, row.hour, None, row.user_id, row.device_id, row.properties)
            if row.amplitude_id in self.contaminated
            else row
            for row in self.rows
        ]

    @staticmethod
    def identifier_of(row: Row) -> Identifier | None:
        """Whose row it is (ID-8)."""
        if row.user_id:
            return ("user_id", row.user_id)
        if row.amplitude_id is not None:
            return ("amplitude_id", row.amplitude_id)
        return ("device_id", row.device_id) if row.device_id else None

    # -- links ----------------------------------------------------------------------------------

    def _candidates(self) -> dict[Identifier, list[Link]]:
        found: dict[tuple[str, Identifier, Identifier], float] = {}

        def add(kind: str, left: Identifier, right: Identifier, hour: float) -> None:
            key = (kind, left, right)
            found[key] = min(found.get(key, LAST), hour)

        contaminated = {("amplitude_id", number) for number in self.contaminated}
        for left, right in self.rules.links:
            if left != right and not {left, right} & contaminated:
                add("override", left, right, LAST)
        for row in self.rows:
            if row.amplitude_id is not None and row.user_id:
                add(
                    "observed",
                    ("amplitude_id", row.amplitude_id),
                    ("user_id", row.user_id),
                    row.order,
                )
        for absorbed, survivor, hour in self.merges:
            add("merged", ("amplitude_id", absorbed), ("amplitude_id", survivor), hour)
        spoken_for = {left for _, left, _ in found}
        for left, (right, hour) in self._device_links(spoken_for).items():
            add("device", left, right, hour)
        candidates = defaultdict(list)
        for (kind, left, right), hour in found.items():
            candidates[left].append(Link(kind, left, right, hour))
        return candidates

    def _device_links(
        self, spoken_for: set[Identifier]
    ) -> dict[Identifier, tuple[Identifier, float]]:
        if self.rules.device_linking == "off":
            return {}
        first_seen: dict[tuple[Identifier, str], float] = {}
        for row in self.rows:
            identifier = self.identifier_of(row)
            if row.device_id and not row.user_id and identifier and identifier not in spoken_for:
                key = (identifier, row.device_id)
                first_seen[key] = min(first_seen.get(key, LAST), row.order)
        options: dict[Identifier, list[tuple[float, str, str]]] = defaultdict(list)
        for (identifier, device), since in first_seen.items():
            if device in self.shared:
                continue
            options[identifier] += [
                (row.order, row.user_id, device)
                for row in self.rows
                if row.device_id == device and row.user_id and row.order >= since
            ]
        return {
            identifier: (("user_id", min(rows)[1]), min(rows)[0])
            for identifier, rows in options.items()
            if rows
        }

    def _chain(self, identifier: Identifier) -> list[Identifier]:
        chain = [identifier]
        while (link := self.first.get(chain[-1])) and chain[-1] not in self.stopped:
            if link.right in chain:
                break
            chain.append(link.right)
        return chain

    def _open_circles(self) -> None:
        self.stopped: set[Identifier] = set()
        for start in list(self.first):
            seen = []
            here: Identifier | None = start
            while here is not None and here not in seen and here not in self.stopped:
                seen.append(here)
                link = self.first.get(here)
                here = link.right if link else None
            if here in seen:
                circle = seen[seen.index(here) :]
                self.stopped.add(min(circle, key=order_of))
        self.opened = set(self.stopped)

    def _separate(self) -> None:
        cut = set()
        for left, right in self.rules.separations:
            if left != right and self._chain(left)[-1] == self._chain(right)[-1]:
                cut.add(right if left in self._chain(right) else left)
        self.stopped |= cut

    # -- persons --------------------------------------------------------------------------------

    def _name_persons(self) -> None:
        seen: set[Identifier] = set()
        for row in self.rows:
            if row.amplitude_id is not None:
                seen.add(("amplitude_id", row.amplitude_id))
            if row.user_id:
                seen.add(("user_id", row.user_id))
            if (identifier := self.identifier_of(row)) and identifier[0] == "device_id":
                seen.add(identifier)
        on_devices = {("device_id", row.device_id) for row in self.rows if row.device_id}
        for left, right in self.rules.links:
            if left != right:
                seen |= {left, right} & on_devices
        members = defaultdict(set)
        for identifier in (
            seen
            | {end for link in self.first.values() for end in self._chain(link.left)}
            | {link.right for link in self.first.values()}
        ):
            members[self._chain(identifier)[-1]].add(identifier)
        self.end_of = {one: end for end, persons in members.items() for one in persons}
        self.persons: dict[Identifier, frozenset[Identifier]] = {}
        self.primary: dict[Identifier, str | None] = {}
        for end, identifiers in members.items():
            if not identifiers & seen:
                continue
            anchor = self._anchor(end, identifiers)
            self.persons[anchor] = frozenset(identifiers)
            users = self.users_of(identifiers)
            self.primary[anchor] = users[0] if users else None
        self.anchor_of = {
            one: anchor for anchor, identifiers in self.persons.items() for one in identifiers
        }

    def users_of(self, identifiers: Iterable[Identifier]) -> list[str]:
        """User ids, the one nearest the end of the chain first."""
        users = [one for one in identifiers if one[0] == "user_id"]
        users.sort(key=lambda one: (len(self._chain(one)), str(one[1]).encode()))
        return [str(one[1]) for one in users]

    def _anchor(self, end: Identifier, identifiers: set[Identifier]) -> Identifier:
        users = self.users_of(identifiers)
        follows = {
            one: self.first[one].right
            for one in identifiers
            if one in self.first and one not in self.stopped and self.first[one].kind == "observed"
        }
        by_primary = [
            one for one, right in follows.items() if users and right == ("user_id", users[0])
        ]
        for choice in (by_primary, list(follows)):
            if choice:
                return min(choice, key=order_of)
        return end

    def canonical(self, anchor: Identifier) -> int | None:
        """The amplitude id a person is called by."""
        if anchor[0] == "amplitude_id":
            return int(anchor[1])
        numbers = [int(v) for kind, v in self.persons[anchor] if kind == "amplitude_id"]
        return min(numbers, default=None)

    def decisions(self) -> set[tuple[str, Identifier, Identifier, str, str | None]]:
        """Each candidate with its decision and reason."""
        result = set()
        for left, links in self.candidates.items():
            first = self.first[left]
            for link in links:
                result.add((link.kind, left, link.right, *self._decision(link, first)))
        return result

    def _decision(self, link: Link, first: Link) -> tuple[str, str | None]:
        if link == first and link.left not in self.stopped:
            return ("followed", None)
        left, right = self.end_of.get(link.left), self.end_of.get(link.right)
        if left is not None and left == right:
            return ("agrees", None)
        if link == first:
            return ("refused", "separated")
        if first.kind == "override":
            return ("refused", "overridden")
        if link.kind == "observed":
            return ("refused", "other_user_first")
        return ("refused", "known_id" if first.kind == "observed" else "earlier_merge")

    # -- keys -----------------------------------------------------------------------------------

    def rows_of(self, anchor: Identifier) -> list[Row]:
        """The rows of a person."""
        return [
            row
            for row in self.rows
            if (identifier := self.identifier_of(row)) and self.anchor_of[identifier] == anchor
        ]

    def devices_of(self, anchor: Identifier) -> list[tuple[str, str | None]]:
        """Devices, best first, each with why it is withheld."""
        last: dict[str, float] = {}
        for row in self.rows_of(anchor):
            if row.device_id:
                hour = -LAST if row.hour is None else row.hour
                last[row.device_id] = max(last.get(row.device_id, -LAST), hour)
        return [
            (device, self._withheld(device, anchor))
            for device in sorted(last, key=lambda device: (-last[device], device.encode()))
        ]

    def _withheld(self, device: str, anchor: Identifier) -> str | None:
        if device in self.shared:
            return "device_shared"
        known = [row for row in self.rows if row.device_id == device and row.user_id]
        if known:
            latest = min(
                known,
                key=lambda row: (
                    LAST if row.hour is None else -row.hour,
                    str(row.user_id).encode(),
                ),
            )
            if self.anchor_of[("user_id", str(latest.user_id))] != anchor:
                return "device_owned_by_other"
        return None

    def property_of(self, anchor: Identifier, name: str) -> str | None:
        """The latest usable value."""
        found = [
            (LAST if row.hour is None else -row.hour, row.properties[name].encode())
            for row in self.rows_of(anchor)
            if name in row.properties
        ]
        return min(found)[1].decode() if found else None

    def user_values(self, anchor: Identifier, sources: Sequence[str]) -> list[str]:
        """User id values, best first."""
        values: list[str] = []
        for source in sources:
            if source == "user_id":
                values += self.users_of(self.persons[anchor])
            elif (value := self.property_of(anchor, source)) is not None:
                values.append(value)
        return values

    def clevertap(
        self, anchor: Identifier, sources: Sequence[str] = ("user_id",)
    ) -> tuple[str, str | None, str | None, str | None]:
        """Status, detail, key type and match key."""
        users = self.user_values(anchor, sources)
        if users:
            return ("ok", None, "identity", users[0].lower())
        devices = self.devices_of(anchor)
        free = [device for device, withheld in devices if withheld is None]
        if free:
            return ("ok", None, "object_id", free[0].lower())
        return ("no_key", devices[0][1] if devices else "no_identifier", None, None)

    def lytics(self, anchor: Identifier) -> tuple[str, str | None, str | None, str | None]:
        """Status, detail, key type and match key."""
        number = self.canonical(anchor)
        if number is not None:
            return ("ok", None, "amplitude_id", str(number))
        user = self.primary[anchor]
        if user is not None:
            return ("ok", None, "amplitude_user_id", user)
        return ("no_key", "no_identifier", None, None)
