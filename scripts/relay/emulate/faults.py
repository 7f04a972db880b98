"""Faults to order: which request of which route goes wrong, and how."""

import random
import threading
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, get_args

Kind = Literal[
    "status", "reset", "timeout", "html", "cut", "truncated", "corrupted", "partial", "slow"
]
KINDS: tuple[str, ...] = get_args(Kind)


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault; it counts the requests that match it from the moment it is ordered.

    Attributes:
        kind: What happens.
            `status`: the vendor's own error body under `status`.
            `reset`: the connection is reset without an answer.
            `timeout`: no answer for `seconds` (an hour when 0), then a reset.
            `html`: a gateway's HTML page under `status`.
            `cut`: half of the answer's body, then a reset.
            `truncated`: half of the body, looking complete.
            `corrupted`: the whole body with one byte changed.
            `partial`: the vendor refuses the records at `positions` and takes the others, where it
            has an answer for that (CleverTap uploads, Amplitude events, Lytics uploads).
            `slow`: the usual answer after `seconds`.
        route: Name of the route (the keys of `requests` in `/_state`); None for every route.
        nth: The first request that is hit, counted from 1.
        times: How many requests are hit; None for all that follow.
        every: 1 hits one request after the other, 2 every second one, and so on.
        chance: Probability that a request that would be hit is hit, by the seed of `Faults`.
        stored: Whether the request is carried out before it goes wrong (`status`, `reset`,
            `timeout`, `html`). The others always carry it out.
        status: HTTP status of `status` and `html`.
        seconds: Duration of `timeout` and `slow`.
        positions: 0-based positions of the records that `partial` refuses.
    """

    kind: Kind
    route: str | None = None
    nth: int = 1
    times: int | None = 1
    every: int = 1
    chance: float = 1.0
    stored: bool = False
    status: int = 500
    seconds: float = 0.0
    positions: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"fault kind {self.kind!r}: expected one of {', '.join(KINDS)}")
        if self.nth < 1 or self.every < 1 or (self.times is not None and self.times < 1):
            raise ValueError("nth, every and times of a fault count from 1")

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> "Fault":
        """Read one fault from a JSON object with the names above.

        Raises:
            ValueError: A name is not known, or a value cannot be.
        """
        known = {field.name for field in fields(cls)}
        unknown = sorted(set(document) - known)
        if unknown or "kind" not in document:
            wrong = f"unknown {', '.join(unknown)}" if unknown else "no kind"
            raise ValueError(f"{wrong}: a fault has {', '.join(sorted(known))}")
        values = dict(document)
        values["positions"] = tuple(values.get("positions", ()))
        return cls(**values)

    def document(self) -> dict[str, Any]:
        """This fault as a JSON object."""
        return asdict(self) | {"positions": list(self.positions)}


class Faults:
    """The faults ordered from one vendor, in the order they were ordered.

    Args:
        routes: Names a fault may ask for, and whether the route has an answer for `partial`.
        seed: Of the random numbers behind `chance`.
    """

    def __init__(self, routes: Mapping[str, bool], *, seed: int = 0) -> None:
        self._lock = threading.Lock()
        self._routes = routes
        self._random = random.Random(seed)  # noqa: S311  (a test's dice, no secret)
        self._ordered: list[Fault] = []
        self._seen: list[int] = []
        self._hits: list[int] = []

    def add(self, kind: Kind, route: str | None = None, **values: Any) -> Fault:
        """Order one fault; the names are those of `Fault`.

        Raises:
            ValueError: The route does not exist, or has no partial answer.
        """
        return self.order(Fault(kind, route, **values))

    def order(self, fault: Fault) -> Fault:
        """Order a fault that is there already.

        Raises:
            ValueError: The route does not exist, or has no partial answer.
        """
        if fault.route is not None and fault.route not in self._routes:
            raise ValueError(f"no route {fault.route!r}: there are {', '.join(self._routes)}")
        if fault.kind == "partial" and not self._routes.get(fault.route or "", False):
            partial = [name for name, can in self._routes.items() if can]
            raise ValueError(f"partial needs a route that answers by record: {', '.join(partial)}")
        with self._lock:
            self._ordered.append(fault)
            self._seen.append(0)
            self._hits.append(0)
        return fault

    def replace(self, faults: Iterable[Fault]) -> None:
        """Forget what was ordered and order these."""
        self.clear()
        for fault in faults:
            self.order(fault)

    def clear(self) -> None:
        """Let everything go well from now on."""
        with self._lock:
            self._ordered, self._seen, self._hits = [], [], []

    def take(self, route: str) -> list[Fault]:
        """Count one request of `route`; the faults that hit it, in the order they were ordered."""
        if not self._ordered:
            return []
        hit: list[Fault] = []
        with self._lock:
            for index, fault in enumerate(self._ordered):
                if fault.route is not None and fault.route != route:
                    continue
                self._seen[index] += 1
                past = self._seen[index] - fault.nth
                if past < 0 or past % fault.every:
                    continue
                if fault.times is not None and self._hits[index] >= fault.times:
                    continue
                if fault.chance < 1.0 and self._random.random() >= fault.chance:
                    continue
                self._hits[index] += 1
                hit.append(fault)
        return hit

    def document(self) -> list[dict[str, Any]]:
        """The faults with the requests they saw and hit."""
        with self._lock:
            return [
                fault.document() | {"seen": seen, "hits": hits}
                for fault, seen, hits in zip(self._ordered, self._seen, self._hits, strict=True)
            ]
