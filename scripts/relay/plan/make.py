"""`relay plan`: build, see what is due, and seal it."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from duckdb import DuckDBPyConnection

from relay import warehouse
from relay.apply.ledger import Ledger
from relay.config import EventExport, Sync
from relay.errors import ConfigurationError, PlanError
from relay.ledger_tables import refresh_ledger_tables
from relay.plan.budget import BudgetLook, look_at_budget
from relay.plan.build import build
from relay.plan.clock import earliest_plan_time
from relay.plan.manifest import Plan, PlanFile, PlanSync, read_plan, suppress_hash_of
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
        first: Only this many additions of each sync, to try a destination: a trial, which is no
            run of the schedule and removes nobody.
        adopt: Syncs whose desired members are recorded as confirmed, sending nothing.
        retry_rejected: Parked rows are tried once more; a sync that has some is due.
    """

    syncs: tuple[str, ...] = ()
    force: bool = False
    first: int | None = None
    adopt: tuple[str, ...] = ()
    retry_rejected: bool = False


@dataclass(frozen=True)
class PlanOutcome:
    """A plan, or None where nothing is to be sent; and how every sync that was looked at stands.

    `held_in` has the earlier plan that holds a sync's changes already; `waiting`, by sync, how many
    changes `--first` left for a plan without it. `budget` is how Amplitude's monthly cohort
    downloads stand; an undo does not ask.
    """

    plan: Plan | None
    syncs: tuple[PlanSync, ...]
    held_in: dict[str, str] = field(default_factory=dict)
    waiting: dict[str, int] = field(default_factory=dict)
    budget: BudgetLook | None = None

    @property
    def document(self) -> dict[str, Any]:
        """The JSON document of `relay plan`."""
        return {
            "plan_id": self.plan.plan_id if self.plan else None,
            "plan_hash": self.plan.plan_hash if self.plan else None,
            "path": str(self.plan.folder) if self.plan else None,
            "syncs": [
                {
                    **vars(sync),
                    "held_in": self.held_in.get(sync.name),
                    "waiting": self.waiting.get(sync.name, 0),
                }
                for sync in self.syncs
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
        ConfigurationError: A named sync does not exist, what is to be adopted never can be, or a
            sync went to another destination before.
        BudgetError: Cohorts are downloaded, and not even one download a day of each fits the month.
        BuildError: dbt failed.
        LedgerError: The ledger cannot be read; nothing is sealed.
        PlanError: Something cannot be sealed or adopted; nothing is.
    """
    settings = settings.for_run(
        retries_rejected=request.retry_rejected, not_before=earliest_plan_time(settings.home)
    )
    _check_names(settings, (*request.syncs, *request.adopt))
    _check_adoption(settings, request)
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

    Rows of unknown outcome are left alone, and events stay where they arrived; so do members who
    were in a segment before the relay was, and were adopted. The caller holds the lock. The tables
    show what is to be taken back until the next build, which `apply` ends with.

    Raises:
        LedgerError: The ledger cannot be read, or the plan's file of it is gone.
        PlanError: There is no such plan, or it sent no change of a segment.
        ConfigurationError: A sync of it is not configured or not enabled any more.
    """
    undone = read_plan(settings.home, plan_id, roles={"rows"})
    changed = [
        sync.name
        for sync in undone.syncs
        if sync.kind == "cohort_sync" and undone.file(sync.name, "rows")
    ]
    names = tuple(name for name in changed if undone.file(name, "requests"))
    if changed and not names:
        raise PlanError(
            f"plan {plan_id} adopted {', '.join(changed)}: nothing was sent, so there is nothing to"
            " take back; members that should not be there leave with the next plan"
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
    known = [sync.name for sync in settings.config.syncs]
    for name in names:
        if not settings.config.has_sync(name):
            raise ConfigurationError(
                f"there is no sync {name!r} in {settings.syncs_file or settings.home.syncs_file};"
                f" known: {', '.join(sorted(known)) or 'none'}"
            )


def _check_adoption(settings: Settings, request: PlanRequest) -> None:
    """Refuse a call that cannot be meant so, before anything is built."""
    if request.adopt and request.first is not None:
        raise ConfigurationError(
            "--adopt records every member of a segment and sends nothing, so --first has no"
            " meaning with it; leave one of them out"
        )
    for sync in settings.config.syncs:
        if sync.name in request.adopt and sync.kind != "cohort_sync":
            raise ConfigurationError(
                f"--adopt {sync.name}: expected a sync of cohort_syncs, whose segment has members;"
                f" {sync.name} carries events, and events that were not sent cannot be confirmed"
            )


def _check_adoptable(candidates: Sequence["Candidate"], names: Sequence[str]) -> None:
    """Refuse to adopt a segment of which nobody can say who is in it.

    Raises:
        PlanError: The cohort has no snapshot to go by, or the sync is not enabled.
    """
    for name in names:
        own = [candidate.sync for candidate in candidates if candidate.is_one_of([name])]
        # Of a sync that stands for every cohort those are adopted that can be.
        if any(sync.state != "no_snapshot" for sync in own):
            continue
        reason = own[0].reason if own else "it is not enabled, or no cohort of it is known yet"
        raise PlanError(
            f"{name} cannot be adopted: {reason}; what is recorded as confirmed are the members of"
            " its newest snapshot. Load the cohort first (`relay load cohorts`), then adopt it"
        )


@dataclass(frozen=True)
class Candidate:
    """A sync as the models leave it, before its schedule is asked.

    `is_unfinished` says that the last run stopped half way: rows of it were not sent, or went
    unanswered and may be sent again. `is_retried` says that it has refused rows, which are to be
    tried again.
    """

    sync: PlanSync
    config: Sync
    last_run_at: datetime | None
    is_unfinished: bool = False
    is_retried: bool = False

    def is_one_of(self, names: Sequence[str]) -> bool:
        """Whether it was named: itself, or the entry of syncs.yml that stands for every cohort."""
        return self.sync.name in names or self.config.name in names


def _seal_what_is_due(
    connection: DuckDBPyConnection, settings: Settings, request: PlanRequest
) -> PlanOutcome:
    _check_destinations(connection)
    created_at = settings.now()
    syncs: list[PlanSync] = []
    files: list[PlanFile] = []
    held_in: dict[str, Plan] = {}
    waiting: dict[str, int] = {}
    adopted: list[str] = []
    checked: list[str] = []
    with sealing_folder(settings.home) as folder:
        candidates = _candidates(connection, settings, request)
        _check_adoptable(candidates, request.adopt)
        for candidate in candidates:
            sync = scheduled(candidate, request, settings)
            adopts = candidate.is_one_of(request.adopt) and sync.state != "no_snapshot"
            adopted += [sync.name] * adopts
            if sync.state not in {"ready", "held"} and not adopts:
                syncs.append(sync)
                continue
            payload = payload_query(sync, request.first, adopts=adopts)
            if request.first is not None:
                waiting[sync.name] = _rows_left(connection, sync, payload)
            held_plan = _same_held_plan(connection, settings, sync, payload)
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
                if request.first is not None:
                    reason = "nobody to add"
                elif not adopts and not settings.run.undoes and _ran(candidate.config):
                    checked.append(sync.name)
                syncs.append(replace(counted, state="empty", reason=reason))
                continue
            syncs.append(replace(counted, state="adopted", reason=None) if adopts else counted)
            files += sealed.files
        plan = None
        if files:
            plan = finish_plan(
                settings.home,
                folder,
                kind=_kind_of(settings, request),
                created_at=created_at.strftime("%Y-%m-%dT%H:%M:%SZ"),
                undoes=settings.run.undoes,
                syncs=syncs,
                files=files,
                suppress=settings.config.suppress,
            )
    looked_whole = not settings.run.undoes and request.first is None
    ended = _ended_without_a_run(connection, syncs, checked) if looked_whole else []
    _record(settings, plan, adopted, checked, ended, created_at)
    # The plan has nothing of what is held elsewhere; who reads on is to see how much it is.
    shown = [
        _counted_there(held_in[sync.name], sync) if sync.name in held_in else sync for sync in syncs
    ]
    held_ids = {name: there.plan_id for name, there in held_in.items()}
    return PlanOutcome(plan, tuple(shown), held_ids, waiting)


def _counted_there(plan: Plan, sync: PlanSync) -> PlanSync:
    """A held sync with the counts of the plan that holds it."""
    there = next(one for one in plan.syncs if one.name == sync.name)
    counts = ("added", "removed", "reasserted", "refreshed", "renamed", "stitched")
    return replace(sync, **{count: getattr(there, count) for count in counts})


def _kind_of(settings: Settings, request: PlanRequest) -> str:
    if settings.run.undoes:
        return "undo"
    return "sync" if request.first is None else "trial"


def _ran(config: Sync) -> bool:
    """Whether a look that found nothing to send is the run that the schedule asked for.

    What is to go once has not gone with nobody in the cohort yet. Days of events that are over stay
    as empty as they were found.
    """
    return config.frequency != "one_time" or isinstance(config, EventExport)


def _check_destinations(connection: DuckDBPyConnection) -> None:
    """Refuse a sync under whose name another destination has members: its keys mean nothing here.

    Raises:
        ConfigurationError: With both destinations.
    """
    row = connection.execute(
        "select syncs.sync_name, runs.sent_destination, syncs.destination"
        " from staging.stg_relay__syncs as syncs"
        " inner join ledger.syncs as runs on syncs.sync_name = runs.sync_name"
        " inner join cohorts.sync_totals as totals on syncs.sync_name = totals.sync_name"
        " where syncs.is_enabled and runs.sent_destination != syncs.destination"
        " and totals.confirmed_count + totals.in_doubt_count > 0 order by all limit 1"
    ).fetchone()
    if row is not None:
        name, before, now = row
        raise ConfigurationError(
            f"{name} was sent to {before} until now, which has its members, and syncs.yml says"
            f" {now}; give the sync to {now} a name of its own, and {name} its {before} again"
        )


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
            unfinished.sync_name is not null as is_unfinished,
            -- A trial removes nobody and adds a few: the guard judges that, not all that is owed.
            coalesce(
                totals.state = 'held'
                and totals.lost_reason is null
                and least(totals.added_count, $first) * 100
                <= totals.max_added_percent * totals.confirmed_count,
                false
            )
            and $first is not null as is_small_trial
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
                on plans.sync_name = runs.sync_name and plans.plan_id = runs.last_run_plan_id
            inner join staging.stg_relay__syncs as configured
                on plans.sync_name = configured.sync_name
            where
                -- That a later plan has them, a trial or one never sent, settles nothing.
                plans.pending_count + plans.superseded_count > 0
                or (plans.unknown_count > 0 and configured.on_unknown = 'resend')
        ) as unfinished
            on syncs.sync_name = unfinished.sync_name
        where syncs.is_enabled
        order by syncs.position, syncs.sync_name
        """,
        {"first": request.first},
    )
    by_name = {sync.name: sync for sync in settings.config.syncs}
    named = [*request.syncs, *request.adopt]
    refused = _refused_syncs(connection) if request.retry_rejected else frozenset()
    found = []
    for row in rows:
        config = by_name[row.pop("config_name")]
        last_run_at = row.pop("last_run_at")
        is_unfinished = row.pop("is_unfinished")
        if row.pop("is_small_trial"):
            row |= {"state": "ready", "reason": None}
        candidate = Candidate(
            PlanSync(**row, on_unknown=settings.config.on_unknown_of(config)),
            config,
            None if last_run_at is None else last_run_at.replace(tzinfo=UTC),
            is_unfinished,
            row["name"] in refused,
        )
        if not named or candidate.is_one_of(named):
            found.append(candidate)
    return found


def _refused_syncs(connection: DuckDBPyConnection) -> frozenset[str]:
    """Syncs of which rows were refused: keys that are parked, or events of any plan."""
    rows = connection.execute(
        "select sync_name from ledger.confirmed_keys where is_parked"
        " union select sync_name from ledger.plan_outcomes"
        " where sync_kind != 'cohort_sync' and rejected_count > 0"
    ).fetchall()
    return frozenset(name for (name,) in rows)


def scheduled(candidate: Candidate, request: PlanRequest, settings: Settings) -> PlanSync:
    """The sync with state not_due where its schedule says so and nobody named it.

    A run that stopped half way is not over: it goes on at the next look, whatever the schedule. Who
    has refused rows tried again names the syncs that have some.
    """
    sync = candidate.sync
    if sync.state not in {"ready", "held"}:
        return sync
    now, zone = settings.now(), settings.zone_of(candidate.config)
    due = is_due(candidate.config, last_run=candidate.last_run_at, now=now, zone=zone)
    may_run = due.is_due or candidate.is_unfinished or request.force
    may_run = may_run or candidate.is_one_of(request.adopt)
    is_one_time = candidate.config.frequency == "one_time"
    is_asked_for = candidate.is_retried or candidate.is_one_of(request.syncs)
    if may_run or (is_asked_for and not is_one_time):
        if isinstance(candidate.config, EventExport):
            check_export_window(candidate.config, now=now, zone=zone)
        return sync
    reason = f"{due.reason}; --force runs it again" if is_one_time else due.reason
    return replace(sync, state="not_due", reason=reason)


def payload_query(sync: PlanSync, first: int | None, *, adopts: bool) -> str:
    """The rows of a sync that are to be sealed: all, a first few, or those to be adopted."""
    name = sync.name.replace("'", "''")
    rows = f"select * from {payload_of(sync.kind, sync.destination)} where sync_name = '{name}'"
    if adopts:
        rows = f"{rows} and action = 'added'"
    elif first is not None:
        # With a key goes what ends its old name: sent without it, a profile would keep both.
        rows = (
            "select * replace (row_number() over (order by position) as position)"
            f" from ({rows} and action in ('added', 'renamed')) semi join"
            f" (select key_type, match_key from ({rows} and action = 'added')"
            f" order by position limit {first:d}) using (key_type, match_key)"
        )
    return f"({rows})"


def _rows_left(connection: DuckDBPyConnection, sync: PlanSync, payload: str) -> int:
    """How many of the sync's rows the query leaves out."""
    every = payload_query(sync, None, adopts=False)
    return sum(
        sign * count
        for sign, query in ((1, every), (-1, payload))
        for (count,) in connection.execute(f"select count(*) from {query}").fetchall()
    )


def _same_held_plan(
    connection: DuckDBPyConnection, settings: Settings, sync: PlanSync, payload: str
) -> Plan | None:
    """The plan that holds just these changes of the sync already, where it can be applied."""
    if sync.state != "held":
        return None
    row = connection.execute(
        "select plan_id, state, changes_hash, ledger_seq from staging.stg_ledger__plan_syncs"
        " where sync_name = ? and (has_rows or (state = 'empty' and plan_kind != 'trial'))"
        " order by created_at desc, plan_id desc limit 1",
        [sync.name],
    ).fetchone()
    if row is None or row[1] != "held" or row[3] != sync.ledger_seq:
        return None
    if row[2] != changes_hash_of(connection, payload):
        return None
    try:
        plan = read_plan(settings.home, str(row[0]))
    except PlanError:
        # `apply` refuses a plan whose files are gone or changed: it can hold nothing.
        return None
    # And one made with another suppression list.
    is_of_now = plan.suppress_sha256 == suppress_hash_of(settings.config.suppress)
    return plan if is_of_now else None


def _ended_without_a_run(
    connection: DuckDBPyConnection, syncs: list[PlanSync], checked: Sequence[str]
) -> list[PlanSync]:
    """Syncs with nothing to send now, or no snapshot to go by, of which earlier plans left rows."""
    ended = [sync for sync in syncs if sync.state in {"empty", "no_snapshot"}]
    rows = connection.execute(
        "select distinct sync_name from ledger.plan_outcomes"
        " where list_contains(?, sync_name) and held_count + pending_count > 0",
        [[sync.name for sync in ended if sync.name not in checked]],
    ).fetchall()
    return [sync for sync in ended if (sync.name,) in rows]


def _record(
    settings: Settings,
    plan: Plan | None,
    adopted: Sequence[str],
    checked: Sequence[str],
    ended: Sequence[PlanSync],
    at: datetime,
) -> None:
    """Tell the ledger of adopted segments, of runs that found nothing to send, and of ends.

    A segment to which nothing had to be added is adopted all the same: its ledger is missing no
    more. What earlier plans left open of a sync that has no snapshot to go by is to be sent no
    more, by whomever it is approved.
    """
    with Ledger.open(settings.home) as ledger:
        for name in adopted:
            has_rows = plan is not None and plan.file(name, "rows") is not None
            plan_id = plan.plan_id if plan is not None and has_rows else None
            ledger.append("adopted", at=at, plan_id=plan_id, sync=name)
        for name in checked:
            ledger.append("checked", at=at, plan_id=None, sync=name)
        for sync in ended:
            detail = {"reason": sync.reason}
            ledger.append("superseded", at=at, plan_id=None, sync=sync.name, detail=detail)
