"""A way to a destination: what the shared core needs to know of each vendor.

One subclass per way; it knows the address, the credentials and the form of a body, and hands
everything that is said back to a pure `judge`.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar

from relay.apply.limits import Limits
from relay.apply.verdicts import Exchange, Verdict
from relay.plan.manifest import PlanSync


@dataclass(frozen=True)
class Call:
    """What is sent at once: a body of some records, and how the plan says it is sent.

    `rows` is the number of records in `body`. `records` has them parsed, where a way asks for that
    (`reads_records`). `list_file` is the CSV of a custom list.
    """

    method: str
    path: str
    query: Mapping[str, str]
    content_type: str
    body: bytes
    rows: int
    records: Sequence[Mapping[str, Any]] = ()
    list_file: Path | None = None


class Way(ABC):
    """How one kind of request reaches one destination.

    Attributes:
        destination: Its name.
        delivery: As in the seed of limits.
        records: Keys that lead to the list of records in a body; None where a body cannot be cut:
            the request is taken or refused whole, and stands for all rows of its sync.
        identifying: Keys of a record whose values say who somebody is.
        limits: How fast.
        secrets: What must not appear in any text.
        reads_records: Whether `ration` and `judge` look into records.
        has_dry_run: Whether the vendor validates without storing.
        rehearses: Whether a dry run goes before each upload.
        halves_refusals: Whether a request refused as a whole is tried in halves, to find the row.
    """

    destination: ClassVar[str]
    delivery: ClassVar[str]
    records: ClassVar[tuple[str, ...] | None]
    identifying: ClassVar[tuple[str, ...]] = ()
    reads_records: ClassVar[bool] = False
    has_dry_run: ClassVar[bool] = False
    rehearses: ClassVar[bool] = False
    halves_refusals: ClassVar[bool] = False

    def __init__(self, limits: Limits, secrets: Sequence[str]) -> None:
        self.limits = limits
        self.secrets = tuple(secret for secret in secrets if secret)

    @abstractmethod
    def send(self, call: Call) -> Exchange:
        """Make the request."""

    @abstractmethod
    def judge(self, call: Call, exchange: Exchange, tries: int) -> Verdict:
        """What its answer means; pure."""

    def dry_way(self) -> "Way | None":
        """The same way, validating without storing; None where the vendor has no such thing."""
        return None

    def ration(
        self, path: str, records: Sequence[Mapping[str, Any]], positions: Sequence[int]
    ) -> tuple[Sequence[int], float]:
        """Which of the rows may go to this path now, and seconds until more may."""
        return positions, 0.0

    @abstractmethod
    def may_repeat(self, sync: PlanSync, first_sent_at: datetime, now: datetime) -> bool:
        """Whether rows of unknown outcome may be sent again without a person's word."""

    @abstractmethod
    def close(self) -> None:
        """Give the connections back."""
