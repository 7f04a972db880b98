"""`relay plan`: build, see what is due, and seal it."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from duckdb import DuckDBPyConnection

from relay import warehouse
from relay.apply.ledger import Ledger
from relay.config import ALL_COHORTS, CohortSync, EventExport, Sync
from relay.errors import ConfigurationError, PlanError
from relay.ledger_tables import refresh_ledger_tables
from relay.plan.budget import BudgetLook, look_at_budget
from relay.plan.build import build
from relay.plan.clock import earliest_plan_time
from relay.plan.manifest import Plan, PlanFile, PlanSync, read_plan
from relay.plan.payloads import payload_of
from relay.plan.schedule import check_export_window, is_due
from relay.plan.seal import changes_hash_of, finish_plan, seal_sync, sealing_folder
from relay.settings import Settings


@dataclass(frozen=True)
class PlanRequest:
    """What was asked of `relay plan`.

    Attributes:
        syncs: Named syncs: planned whatever their schedule says. Empty: every sync that is due.
        force: A one-time sync that has run may run again.
        first: Only this many additions of each sync, to try a destination.
        adopt: Syncs whose desired members are recorded as confirmed, sending nothing.
        retry_rejected: Parked rows are tried once more.
    """

    syncs: tuple[str, ...] = ()
    force: bool = False
    first: int | None = None
    adopt: tuple[str, ...] = ()
    retry_rejected: bool = False


@dataclass(frozen=True)
class PlanOutcome:
    """A plan, or None where nothing is to be sent; and how every sync that was looked at stands.

    `budget` is how Amplitude's monthly cohort downloads stand; an undo does not ask.
    """

    plan: Plan | None
    syncs: tuple[PlanSync, ...]
    held_in: dict[str, str] = field(default_factory=dict)
    budget: BudgetLook | None = None

    @property
    def document(self) -> dict[str, Any]:
        """The JSON document of `relay plan`."""
        return {
            "plan_id": self.plan.plan_id if self.plan else None,
            "plan_hash": self.plan.plan_hash if self.plan else None,
            "path": str(self.plan.folder) if self.plan else None,
            "syncs": [
                {**vars(sync), "held_in": self.held_in.get(sync.name)} for sync in self.syncs
            ],
            "budget": None if self.budget is None else self.budget.document,
        }

    @property
    def is_held(self) -> bool:
        """Whether anything waits for approval."""
        return any(sync.state == "held" for sync in self.syncs)


def make_plan(settings: Settings, request: PlanRequest) -> PlanOutcome:
    """Build and seal what is due, or what was named. The caller holds the lock.

    Raises:
        ConfigurationError: A named sync does not exist or is not enabled.
        BudgetError: Cohorts are downloaded, and not even one download a day of each fits the month.
        BuildError: dbt failed.
        LedgerError: The ledger cannot be read; nothing is sealed.
        PlanError: Something cannot be sealed; nothing is.
    """
    settings = settings.for_run(
        retries_rejected=request.retry_rejected, not_before=earliest_plan_time(settings.home)
    )
    _check_names(settings, (*request.syncs, *request.adopt))
    # Else what is wrong with the ledger would show only when the plan is sealed.
    Ledger.open(settings.home).close()
    budget = _budget(settings)
    build(settings)
    with warehouse.connect(settings) as connection:
        outcome = _seal_what_is_due(connection, settings, request)
        refresh_ledger_tables(connection, settings.home)
    return replace(outcome, budget=budget)


def _budget(settings: Settings) -> BudgetLook:
    """How the month's downloads stand; refused only where there are keys to download with."""
    with warehouse.connect(settings) as connection:
        look = look_at_budget(connection, settings.config, now=settings.now())
    if look.problem is not None and settings.env.amplitude_secret_key is not None:
        raise look.problem
    return look


def make_undo(settings: Settings, plan_id: str) -> PlanOutcome:
    """Seal the inverse of what a plan delivered, so far as it still is as that plan left it.

    Rows of unknown outcome are left alone, and events stay where they arrived. The caller holds the
    lock. The tables show what is to be taken back until the next build, which `apply` ends with.

    Raises:
        LedgerError: The ledger cannot be read, or the plan's file of it is gone.
        PlanError: There is no such plan, or it has only events.
        ConfigurationError: A sync of it is not configured or not enabled any more.
    """
    undone = read_plan(settings.home, plan_id)
    names = tuple(
        sync.name
        for sync in undone.syncs
        if sync.kind == "cohort_sync" and undone.file(sync.name, "rows")
    )
    if not names:
        raise PlanError(f"plan {plan_id} changed no segment: events and identities stay as sent")
    with Ledger.open(settings.home) as ledger:
        ledger.require_file_of(plan_id)
    undoing = settings.for_run(undoes=plan_id, not_before=earliest_plan_time(settings.home))
    build(undoing)
    with warehouse.connect(undoing) as connection:
        _check_enabled(connection, names, plan_id)
        return _seal_what_is_due(connection, undoing, PlanRequest(syncs=names, force=True))


def _check_enabled(connection: DuckDBPyConnection, names: Sequence[str], plan_id: str) -> None:
    """Refuse an undo that would leave a segment as it is because its sync is switched off."""
    rows = connection.execute("select sync_name from cohorts.current_syncs").fetchall()
    missing = sorted(set(names).difference(name for (name,) in rows))
    if missing:
        raise ConfigurationError(
            f"plan {plan_id} cannot be undone whole: {', '.join(missing)} is not in syncs.yml or"
            " not enabled; enable it, then run `relay undo` again"
        )


def _check_names(settings: Settings, names: Sequence[str]) -> None:
    known = {sync.name for sync in settings.config.syncs}
    every = [
        sync.name
        for sync in settings.config.cohort_syncs
        if isinstance(sync, CohortSync) and sync.cohort_id == ALL_COHORTS
    ]
    for name in names:
        if name not in known and not any(name.startswith(f"{prefix}-") for prefix in every):
            raise ConfigurationError(
                f"there is no sync {name!r} in {settings.syncs_file or settings.home.syncs_file};"
                f" known: {', '.join(sorted(known)) or 'none'}"
            )


@dataclass(frozen=True)
class Candidate:
    """A sync as the models leave it, before its schedule is asked.

    `is_unfinished` says that the last run stopped half way: rows of it were not sent, or went
    unanswered and may be sent again.
    """

    sync: PlanSync
    config: Sync
    last_run_at: datetime | None
    is_unfinished: bool = False

    def is_one_of(self, names: Sequence[str]) -> bool:
        """Whether it was named: itself, or the entry of syncs.yml that stands for every cohort."""
        return self.sync.name in names or self.config.name in names


def _seal_what_is_due(
    connection: DuckDBPyConnection, settings: Settings, request: PlanRequest
) -> PlanOutcome:
    created_at = settings.now()
    syncs: list[PlanSync] = []
    files: list[PlanFile] = []
    held_in: dict[str, str] = {}
    adopted: list[str] = []
    with sealing_folder(settings.home) as folder:
        for candidate in _candidates(connection, settings, request):
            sync = scheduled(candidate, request, settings)
            adopts = candidate.is_one_of(request.adopt)
            adopted += [sync.name] * adopts
            if sync.state not in {"ready", "held"} and not adopts:
                syncs.append(sync)
                continue
            payload = _payload_query(sync, None if adopts else request.first, adopts=adopts)
            held_plan = _same_held_plan(connection, sync, payload)
            if held_plan is not None and not adopts:
                held_in[sync.name] = held_plan
                syncs.append(sync)
                continue
            sealed = seal_sync(
                connection,
                folder,
                name=sync.name,
                kind=sync.kind,
                destination=sync.destination,
                delivery=sync.delivery,
                payload=payload,
                sends=not adopts,
            )
            counted = replace(
                sync,
                added=sealed.counts.get("added", 0),
                removed=sealed.counts.get("removed", 0),
                reasserted=sealed.counts.get("reasserted", 0),
                refreshed=sealed.counts.get("refreshed", 0),
                renamed=sealed.counts.get("renamed", 0),
                stitched=sealed.counts.get("stitched", 0),
                changes_hash=sealed.changes_hash,
            )
            if not sealed.counts:
                for file in sealed.files:
                    (folder / file.path).unlink()
                reason = "nothing to adopt" if adopts else "nothing to send"
                syncs.append(replace(counted, state="empty", reason=reason))
                continue
            syncs.append(counted)
            files += sealed.files
        plan = None
        if files:
            plan = finish_plan(
                settings.home,
                folder,
                kind="undo" if settings.run.undoes else "sync",
                created_at=created_at.strftime("%Y-%m-%dT%H:%M:%SZ"),
                undoes=settings.run.undoes,
                syncs=syncs,
                files=files,
            )
    _record(settings, plan, syncs, adopted, created_at)
    return PlanOutcome(plan, tuple(syncs), held_in)


def _candidates(
    connection: DuckDBPyConnection, settings: Settings, request: PlanRequest
) -> list[Candidate]:
    """Every enabled sync (or the named ones), with what the models say of it."""
    rows = warehouse.fetch(
        connection,
        """
        select
            syncs.sync_name as name,
            syncs.kind,
            syncs.destination,
            syncs.delivery,
            syncs.cohort_id,
            totals.cohort_name,
            totals.snapshot_id,
            coalesce(ledger_syncs.ledger_seq, 0) as ledger_seq,
            case
                when totals.state is not null then totals.state
                when ledger_syncs.is_paused then 'paused'
                when ledger_syncs.lost_reason is not null then 'held'
                else 'ready'
            end as state,
            case
                when totals.state is not null then totals.reason
                when ledger_syncs.is_paused then 'paused until relay resume'
                else ledger_syncs.lost_reason
            end as reason,
            coalesce(totals.unchanged_count, 0) as unchanged,
            coalesce(totals.in_doubt_count, 0) as in_doubt,
            coalesce(totals.unaddressable_count, 0) as unaddressable,
            coalesce(totals.suppressed_count, 0) as suppressed,
            coalesce(totals.parked_count, 0) as parked,
            coalesce(totals.members_count, 0) as members,
            if(
                forecasts.sync_name is null,
                null,
                {
                    'matched': forecasts.matched_count,
                    'unmatched': forecasts.unmatched_count,
                    'unknown': forecasts.unknown_count
                }
            ) as forecast,
            syncs.config_name,
            ledger_syncs.last_run_at,
            unfinished.sync_name is not null as is_unfinished
        from staging.stg_relay__syncs as syncs
        left join cohorts.sync_totals as totals
            on syncs.sync_name = totals.sync_name
        left join fields.moengage_match_forecast as forecasts
            on syncs.sync_name = forecasts.sync_name
        left join ledger.syncs as ledger_syncs
            on syncs.sync_name = ledger_syncs.sync_name
        left join (
            select plans.sync_name
            from ledger.plan_outcomes as plans
            inner join ledger.syncs as runs
                on plans.sync_name = runs.sync_name and plans.plan_id = runs.last_sent_plan_id
            inner join staging.stg_relay__syncs as configured
                on plans.sync_name = configured.sync_name
            where
                plans.pending_count > 0
                or (plans.unknown_count > 0 and configured.on_unknown = 'resend')
        ) as unfinished
            on syncs.sync_name = unfinished.sync_name
        where syncs.is_enabled
        order by syncs.position, syncs.sync_name
        """,
    )
    by_name = {sync.name: sync for sync in settings.config.syncs}
    named = [*request.syncs, *request.adopt]
    found = []
    for row in rows:
        config = by_name[row.pop("config_name")]
        last_run_at = row.pop("last_run_at")
        is_unfinished = row.pop("is_unfinished")
        candidate = Candidate(
            PlanSync(**row, on_unknown=settings.config.on_unknown_of(config)),
            config,
            None if last_run_at is None else last_run_at.replace(tzinfo=UTC),
            is_unfinished,
        )
        if not named or candidate.is_one_of(named):
            found.append(candidate)
    return found


def scheduled(candidate: Candidate, request: PlanRequest, settings: Settings) -> PlanSync:
    """The sync with state not_due where its schedule says so and nobody named it.

    A run that stopped half way is not over: it goes on at the next look, whatever the schedule.
    """
    sync = candidate.sync
    if sync.state not in {"ready", "held"}:
        return sync
    now, zone = settings.now(), settings.zone_of(candidate.config)
    due = is_due(candidate.config, last_run=candidate.last_run_at, now=now, zone=zone)
    may_run = due.is_due or candidate.is_unfinished or request.force
    may_run = may_run or candidate.is_one_of(request.adopt)
    is_one_time = candidate.config.frequency == "one_time"
    if may_run or (candidate.is_one_of(request.syncs) and not is_one_time):
        if isinstance(candidate.config, EventExport):
            check_export_window(candidate.config, now=now, zone=zone)
        return sync
    reason = f"{due.reason}; --force runs it again" if is_one_time else due.reason
    return replace(sync, state="not_due", reason=reason)


def _payload_query(sync: PlanSync, first: int | None, *, adopts: bool) -> str:
    name = sync.name.replace("'", "''")
    rows = f"select * from {payload_of(sync.kind, sync.destination)} where sync_name = '{name}'"
    if adopts:
        rows = f"{rows} and action = 'added'"
    elif first is not None:
        rows = f"{rows} and phase = 2 order by position limit {first:d}"
    return f"({rows})"


def _same_held_plan(connection: DuckDBPyConnection, sync: PlanSync, payload: str) -> str | None:
    """The plan that holds just these changes of the sync already, where there is one."""
    if sync.state != "held":
        return None
    row = connection.execute(
        "select plan_id, state, changes_hash, ledger_seq from staging.stg_ledger__plan_syncs"
        " where sync_name = ? and (has_rows or state = 'empty')"
        " order by created_at desc, plan_id desc limit 1",
        [sync.name],
    ).fetchone()
    if row is None or row[1] != "held" or row[3] != sync.ledger_seq:
        return None
    return str(row[0]) if row[2] == changes_hash_of(connection, payload) else None


def _record(
    settings: Settings,
    plan: Plan | None,
    syncs: list[PlanSync],
    adopted: Sequence[str],
    at: datetime,
) -> None:
    """Tell the ledger of adopted segments, and of due syncs that had nothing to send.

    A segment to which nothing had to be added is adopted all the same: its ledger is missing no
    more.
    """
    with Ledger.open(settings.home) as ledger:
        for sync in syncs:
            if sync.name in adopted:
                has_rows = plan is not None and plan.file(sync.name, "rows") is not None
                plan_id = plan.plan_id if plan is not None and has_rows else None
                ledger.append("adopted", at=at, plan_id=plan_id, sync=sync.name)
            elif sync.state == "empty" and not settings.run.undoes:
                ledger.append("checked", at=at, plan_id=None, sync=sync.name)
