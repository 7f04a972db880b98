"""What a load did: counts that add up, the hours it settled, and what it could not do, by name."""

from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Literal

WindowState = Literal["loaded", "empty", "pending", "failed"]


@dataclass(frozen=True)
class Window:
    """One hour of Amplitude's export.

    Attributes:
        hour: Its start, UTC, with a time zone.
        state: `loaded` or `empty` (safe to read, and read), `pending` (not safe yet, or not
            reached), `failed`.
        reason: Why it failed, or what it waits for.
    """

    hour: datetime
    state: WindowState
    reason: str | None = None

    def document(self) -> dict[str, Any]:
        """The window in a JSON document; `hour` as on the command line."""
        document: dict[str, Any] = {"hour": f"{self.hour:%Y-%m-%dT%H}", "state": self.state}
        if self.reason is not None:
            document["reason"] = self.reason
        return document


@dataclass(frozen=True)
class Note:
    """Something about one window, file or cohort that a person should know.

    Attributes:
        name: Which one, such as `cohort 1638361188` or `2026-03-01T00 to 2026-03-01T23`.
        reason: What happened and what to do.
    """

    name: str
    reason: str

    def document(self) -> dict[str, str]:
        """The note in a JSON document."""
        return {"name": self.name, "reason": self.reason}


@dataclass(frozen=True)
class LoadResult:
    """The outcome of one load command.

    Attributes:
        source: Folder of the source below landing/, such as `amplitude_events`.
        files: What was read, paths below landing/, in the order it was read.
        windows: The hours this load was about, in order; events only.
        rows: Lines that stood in the files, blank ones left out.
        loaded: Rows stored by this load.
        duplicates: Rows that were stored already, by this load or an earlier one.
        rejected: Rows that cannot be read; each is in `raw.rejected_rows` with its reason.
        failures: Windows, files or cohorts that were refused; nothing of them is stored.
        notes: What was left alone on purpose: archived cohorts, paced downloads.
        details: More keys for the JSON document.
    """

    source: str
    files: tuple[str, ...] = ()
    windows: tuple[Window, ...] = ()
    rows: int = 0
    loaded: int = 0
    duplicates: int = 0
    rejected: int = 0
    failures: tuple[Note, ...] = ()
    notes: tuple[Note, ...] = ()
    details: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.rows != self.loaded + self.duplicates + self.rejected:
            raise ValueError(
                f"{self.source}: {self.rows} rows are not {self.loaded} loaded"
                f" + {self.duplicates} duplicates + {self.rejected} rejected"
            )

    def __add__(self, other: "LoadResult") -> "LoadResult":
        """Both loads as one; the source stays that of the first."""
        return replace(
            self,
            files=self.files + other.files,
            windows=self.windows + other.windows,
            rows=self.rows + other.rows,
            loaded=self.loaded + other.loaded,
            duplicates=self.duplicates + other.duplicates,
            rejected=self.rejected + other.rejected,
            failures=self.failures + other.failures,
            notes=self.notes + other.notes,
            details={**self.details, **other.details},
        )

    @property
    def exit_code(self) -> int:
        """1: something was refused; 4: rows were rejected; 0."""
        if self.failures:
            return 1
        return 4 if self.rejected else 0

    def document(self) -> dict[str, Any]:
        """The JSON document of the load commands."""
        return {
            "source": self.source,
            "files": len(self.files),
            "windows": [window.document() for window in self.windows],
            "rows": self.rows,
            "loaded": self.loaded,
            "duplicates": self.duplicates,
            "rejected": self.rejected,
            "failures": [failure.document() for failure in self.failures],
            "notes": [note.document() for note in self.notes],
            **self.details,
        }

    @property
    def line(self) -> str:
        """One line for a person."""
        parts = [
            f"{self.loaded:,} loaded",
            f"{self.duplicates:,} duplicates",
            f"{self.rejected:,} rejected",
        ]
        states = [window.state for window in self.windows]
        for state in ("loaded", "empty", "pending", "failed"):
            if state in states:
                parts.append(f"{states.count(state):,} hours {state}")
        text = f"{self.source}: {self.rows:,} rows of {len(self.files):,} files: "
        if self.failures:
            parts.append(f"{len(self.failures):,} refused")
        return text + ", ".join(parts)
