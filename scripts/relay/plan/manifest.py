"""The manifest of a sealed plan: what stands in it, how it is written, and how it is checked."""

import hashlib
import json
from collections.abc import Collection, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from relay.durable import sha256_of
from relay.errors import PlanError
from relay.settings import Home

VERSION = 1


@dataclass(frozen=True)
class PlanSync:
    """One sync of a plan.

    `state` is ready, held, empty, not_due, no_snapshot, paused, or adopted: confirmed unsent.

    `ledger_seq` is the position of the ledger the changes were computed from; `changes_hash` covers
    the changes without their times, so that a held sync can be seen not to have moved.

    The rows of a plan are `added`, `removed` and `reasserted`, and for Lytics also `refreshed`,
    `renamed` and `stitched` (two ids that are one person's, an event import's own). `forecast` says
    how many people MoEngage will find (`matched`, `unmatched`), or that nobody knows (`unknown`).
    """

    name: str
    kind: str
    destination: str
    delivery: str | None
    cohort_id: str | None
    cohort_name: str | None
    snapshot_id: str | None
    ledger_seq: int
    state: str
    reason: str | None
    added: int = 0
    removed: int = 0
    reasserted: int = 0
    refreshed: int = 0
    renamed: int = 0
    stitched: int = 0
    unchanged: int = 0
    in_doubt: int = 0
    unaddressable: int = 0
    suppressed: int = 0
    parked: int = 0
    members: int = 0
    changes_hash: str | None = None
    on_unknown: str = "hold"
    forecast: dict[str, int] | None = None

    @property
    def planned(self) -> int:
        """All rows that the plan has of it."""
        counts = (self.added, self.removed, self.reasserted)
        return sum((*counts, self.refreshed, self.renamed, self.stitched))


@dataclass(frozen=True)
class PlanFile:
    """One file of a plan: its hash and, for request bodies, how they are sent.

    `role` is requests, rows, csv, added_csv, removed_csv, members_csv or anonymous_csv; `path` is
    relative to the plan's folder; `send` has method, path, query and content_type.
    """

    sync: str
    role: str
    path: str
    sha256: str
    rows: int
    requests: int
    bytes: int
    send: dict[str, Any] | None = None


@dataclass(frozen=True)
class Plan:
    """A sealed plan. `kind` is sync, trial (the first few), undo or identify.

    `folder` is where it lies, `suppress_sha256` is of the suppression list it was made with, None
    without one.
    """

    plan_id: str
    plan_hash: str
    kind: str
    created_at: str
    undoes: str | None
    syncs: tuple[PlanSync, ...]
    files: tuple[PlanFile, ...]
    suppress_sha256: str | None
    folder: Path = field(compare=False)

    def file(self, sync: str, role: str) -> PlanFile | None:
        """The file of one sync and role, if the plan has it."""
        return next((f for f in self.files if f.sync == sync and f.role == role), None)


@dataclass(frozen=True)
class PlanSketch:
    """What of a plan another one asks: the state of each sync, and of which it has rows."""

    plan_id: str
    kind: str
    states: dict[str, str]
    with_rows: set[str]


def suppress_hash_of(file: Path | None) -> str | None:
    """What a plan remembers of the suppression list."""
    return None if file is None else sha256_of(file)


def plan_hash_of(manifest: dict[str, Any]) -> str:
    """SHA-256 over the manifest's canonical JSON, less the two keys that are made from it."""
    hashed = {k: v for k, v in manifest.items() if k not in {"plan_id", "plan_hash"}}
    text = json.dumps(hashed, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def manifest_of(
    *,
    kind: str,
    created_at: str,
    undoes: str | None,
    syncs: list[PlanSync],
    files: list[PlanFile],
    suppress_sha256: str | None,
) -> dict[str, Any]:
    """The manifest as a document, hash and id included."""
    manifest: dict[str, Any] = {
        "version": VERSION,
        "kind": kind,
        "created_at": created_at,
        "undoes": undoes,
        "syncs": [asdict(sync) for sync in syncs],
        "files": [asdict(file) for file in files],
        "suppress_sha256": suppress_sha256,
    }
    plan_hash = plan_hash_of(manifest)
    compact_time = created_at.replace("-", "").replace(":", "")
    return {**manifest, "plan_hash": plan_hash, "plan_id": f"{compact_time}-{plan_hash[:8]}"}


def canonical_json(manifest: dict[str, Any]) -> bytes:
    """The manifest's bytes: sorted keys, two spaces, one newline at the end."""
    return (json.dumps(manifest, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode()


def plan_folder(home: Home, plan_id: str) -> Path:
    """The folder of a plan, without looking whether it is there."""
    return home.outbox / plan_id


def sealed_manifests(home: Home) -> list[Path]:
    """The manifests of all sealed plans by plan id, the oldest first.

    A folder whose sealing was cut off has a name with a dot in front: it is no plan.
    """
    return sorted(home.outbox.glob("[!.]*/manifest.json"))


def read_plan(home: Home, plan_id: str, roles: Collection[str] | None = None) -> Plan:
    """Read a plan and check that nothing of it changed since it was sealed.

    Args:
        home: Where it lies.
        plan_id: Which one.
        roles: Check only the files of these roles, as the others are not used; None for all.

    Raises:
        PlanError: There is no such plan (the message lists those there are), its manifest cannot be
            read, or the manifest or a file of it is not what was sealed.
    """
    folder = plan_folder(home, plan_id)
    path = folder / "manifest.json"
    known = [file.parent.name for file in sealed_manifests(home)]
    if plan_id not in known:
        newest = ", ".join(known[-3:]) if known else "none, run `relay plan` first"
        raise PlanError(f"there is no plan {plan_id} in {home.outbox}; newest plans: {newest}")
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        plan = Plan(
            plan_id=manifest["plan_id"],
            plan_hash=manifest["plan_hash"],
            kind=manifest["kind"],
            created_at=manifest["created_at"],
            undoes=manifest["undoes"],
            syncs=tuple(PlanSync(**sync) for sync in manifest["syncs"]),
            files=tuple(PlanFile(**file) for file in manifest["files"]),
            suppress_sha256=manifest.get("suppress_sha256"),
            folder=folder,
        )
    except (ValueError, KeyError, TypeError) as error:
        raise PlanError(
            f"{path}: not a manifest of a sealed plan ({error}); restore it from a backup"
        ) from error
    sealed_hash = plan_hash_of(manifest)
    if plan.plan_hash != sealed_hash or plan.plan_id != plan_id:
        raise PlanError(f"{path} was changed after sealing; run `relay plan` for a new plan")
    for file in plan.files:
        if roles is None or file.role in roles:
            _check_file(folder, file)
    return plan


def plans_beside(plan: Plan, *, later: bool) -> Iterator[PlanSketch]:
    """The plans of the outbox that were made later than one, or before, the oldest first.

    Their files are not looked at, and of the others not even the manifests.

    Raises:
        PlanError: A manifest cannot be read.
    """
    # An id begins with the second in which its plan was made.
    second = plan.plan_id.split("-")[0]
    for path in sorted(plan.folder.parent.glob("[!.]*/manifest.json")):
        its_second = path.parent.name.split("-")[0]
        if its_second == second or (its_second > second) != later:
            continue
        try:
            manifest = json.loads(path.read_text(encoding="utf-8"))
            yield PlanSketch(
                plan_id=path.parent.name,
                kind=manifest["kind"],
                states={sync["name"]: sync["state"] for sync in manifest["syncs"]},
                with_rows={file["sync"] for file in manifest["files"] if file["role"] == "rows"},
            )
        except (ValueError, KeyError, TypeError) as error:
            raise PlanError(
                f"{path}: not a manifest of a sealed plan ({error}); restore it from a backup"
            ) from error


def _check_file(folder: Path, file: PlanFile) -> None:
    path = folder / file.path
    if not path.is_file():
        raise PlanError(f"{path} is missing; run `relay plan` for a new plan")
    if sha256_of(path) != file.sha256:
        raise PlanError(f"{path} was changed after sealing; run `relay plan` for a new plan")
