"""What identity and the ledger say of one cohort with five syncs, and which changes are the truth.

Members are numbers, and the cohort is a stretch of them that slides: with every plan the lowest 200
leave and 200 enter at the top. So who is confirmed after any number of plans is a stretch, and so
is who is wanted now.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import duckdb
from duckdb import DuckDBPyConnection

from bench.case import expect
from compiled import CompiledModels
from membership_inputs import GIVEN, KEY_HASH, lay_out_cohort

SYNCS = {
    "to-clevertap": ("clevertap", "hold"),
    "to-clevertap-list": ("clevertap", "resend"),
    "to-clevertap-property": ("clevertap", "resend"),
    "to-moengage": ("moengage", "resend"),
    "to-lytics": ("lytics", "resend"),
}
A_PLAN = 200
# Who leaves in a minute, and as many enter.
A_FEW = 100
ROWS_A_REQUEST = 1000
FOUND = "cohorts__compared_keys"
CHANGES = ("cohorts__membership_changes", "cohorts__sync_totals")
# What the ledger's room holds; a build leaves it alone where no ledger line and no plan is new.
FOLDED = ("ledger__request_outcomes", "ledger__key_states", "ledger__segments")


@dataclass(frozen=True)
class Membership:
    """A database in which all plans but the last are folded.

    Attributes:
        path: Its file.
        members: How many there are at any time.
        plans: How many were sent, the first of which added everybody.
        syncs: By their names, destination and `on_unknown`.
    """

    path: Path
    members: int
    plans: int
    syncs: Mapping[str, tuple[str, str]] = field(default_factory=SYNCS.copy)

    @property
    def confirmed(self) -> tuple[int, int]:
        """First and last of those who were confirmed by all plans."""
        moved = A_PLAN * (self.plans - 1)
        return moved + 1, moved + self.members

    @property
    def moved(self) -> dict[str, int]:
        """By the name of a state: how many leave, and how many enter."""
        return {"present": 0, "few": A_FEW, "next": self.members // 100}

    def wanted(self, state: str) -> tuple[int, int]:
        """First and last of those who are to be members in that state."""
        moved = self.moved[state]
        return self.confirmed[0] + moved, self.confirmed[1] + moved

    def make(self, models: CompiledModels) -> None:
        """Make the database."""
        with duckdb.connect(str(self.path)) as connection:
            _make_inputs(connection, self)
            _send(connection, self, 1, self.plans - 1)
            models.run(connection, CHANGES, given=GIVEN)
            _send(connection, self, self.plans, self.plans)
            connection.execute("checkpoint")

    def diff(
        self, connection: DuckDBPyConnection, models: CompiledModels, *, folds: bool = False
    ) -> None:
        """Find the changes of all five syncs, as the build after a new snapshot does.

        Args:
            connection: Of the database.
            models: Compiled.
            folds: First fold what the ledger has new, as the build after sending does.
        """
        models.run(connection, CHANGES, given=GIVEN if folds else (*GIVEN, *FOLDED), again=True)

    def find(self, connection: DuckDBPyConnection, models: CompiledModels) -> None:
        """Find the keys that differ, without saying why and as what they are to be sent."""
        models.run(connection, [FOUND], given=(*GIVEN, *FOLDED), again=True)

    def want(self, connection: DuckDBPyConnection, state: str, *, anew: bool = True) -> None:
        """Let identity say who is to be a member now.

        Args:
            connection: Of the database.
            state: `present`, `few` or `next`, see `moved`.
            anew: Every key was made anew, so that nobody knows which are others than before.
        """
        connection.execute(
            f"create or replace view identity.keys as select * from {state}_keys;"
            f"create or replace table identity.scope as"
            f" select 2 as build_number, {anew} as keys_is_new;"
            "create or replace table identity.replaced_keys as"
            " select anchor_key, sync_name, key_type, match_key, key_hash from present_keys"
            f" where not {anew} and number < {self.wanted(state)[0]}"
        )

    def check(self, connection: DuckDBPyConnection, changes: str, state: str) -> None:
        """Compare the changes with the truth: of each sync, who is added and who is removed.

        Args:
            connection: Of the database.
            changes: What to read them from: `sync_name`, `action` and `match_key`.
            state: As `want` was told.
        """
        moved = self.moved[state]
        first, last = self.confirmed
        truth = {
            (sync, *change)
            for sync in self.syncs
            for change in (
                ("added", moved, _sum_of(connection, last + 1, last + moved)),
                ("removed", moved, _sum_of(connection, first, first + moved - 1)),
            )
            if moved
        }
        found = connection.execute(
            "select sync_name, action, count(*), sum(hash(match_key))"
            f" from {changes} group by sync_name, action"
        ).fetchall()
        expect("changes", set(found), truth)


def _sum_of(connection: DuckDBPyConnection, first: int, last: int) -> int:
    ((total,),) = connection.execute(
        "select coalesce(sum(hash('user-' || hash(number))), 0)"
        " from range(?, ?) as numbers(number)",
        [first, last + 1],
    ).fetchall()
    return int(total)


def _make_inputs(connection: DuckDBPyConnection, membership: Membership) -> None:
    lay_out_cohort(connection, membership.syncs)
    ever = max(membership.wanted(state)[1] for state in membership.moved)
    connection.execute(
        "create table people as select *, 'p_' || replace(anchor_key::varchar, '-', '')"
        " as person_id from (select number, 'amplitude_id:default:' || number as anchor,"
        " left(sha256(anchor), 32)::uuid as anchor_key, 'user-' || hash(number) as match_key"
        f" from range(1, {ever + 1}) as numbers(number))"
    )
    connection.execute(
        "create view identity.resolved_persons as"
        " select person_id, anchor_key, anchor, false as is_suppressed from people"
    )
    connection.execute(
        "create view identity.identifiers as select anchor_key as identifier_key, anchor_key,"
        " 'amplitude_id' as id_type, 'default' as namespace, number::varchar as id_value"
        " from people"
    )
    connection.execute(
        "create temp table all_keys (number bigint, sync_name varchar, destination varchar,"
        " cohort_id varchar, anchor_key uuid, person_id varchar, status varchar, key_type varchar,"
        " key_value varchar, match_key varchar, is_first_of_key boolean, build_number integer,"
        f" {KEY_HASH})"
    )
    for name, (destination, _) in membership.syncs.items():
        connection.execute(
            "insert into all_keys select number, ?, ?, '7', anchor_key, person_id, 'ok',"
            " 'identity', match_key, match_key, true, if(number <= ?, 1, 2) from people",
            [name, destination, membership.confirmed[1]],
        )
    for state in membership.moved:
        first, last = membership.wanted(state)
        # As identity leaves them: rows made last stand last.
        connection.execute(
            f"create table {state}_keys as select * from all_keys"
            f" where number between {first} and {last} order by build_number"
        )
    membership.want(connection, "present")


def _send(connection: DuckDBPyConnection, membership: Membership, first: int, last: int) -> None:
    """Put plans and their ledger into the raw tables: sent in full, everything taken."""
    connection.execute(
        "insert into raw.plans select format('plan-{:04}', number), 'h', 'sync',"
        " timestamp '2026-01-01' + to_hours(number), null, true"
        " from range(?, ?) as numbers(number)",
        [first, last + 1],
    )
    connection.execute(
        "insert into raw.plan_syncs by name select format('plan-{:04}', number) as plan_id,"
        " sync_name, 'cohort_sync' as kind, destination, '7' as cohort_id, 'Cart' as cohort_name,"
        " 0 as ledger_seq, 'ready' as state, true as has_rows"
        " from staging.stg_relay__syncs, range(?, ?) as numbers(number)",
        [first, last + 1],
    )
    connection.execute(
        """
        insert into raw.plan_rows by name
        with changes as (
            select *, 1 as phase, (number - 1) // $a_plan + 2 as plan from people
            union all
            select
                *, 2 as phase,
                if(number <= $members, 1, (number - $members - 1) // $a_plan + 2) as plan
            from people
        ),
        placed as (
            select
                *,
                row_number() over (partition by plan, phase order by number) - 1 as place
            from changes
            where plan between $first and $last
        )
        select
            format('plan-{:04}', plan) as plan_id,
            syncs.sync_name,
            to_hex(hash(syncs.sync_name, number, phase)) as change_id,
            place // $a_request + if(phase = 1 or plan = 1, 1, 2) as request,
            place % $a_request as position,
            phase,
            if(phase = 1, 'removed', 'added') as action,
            if(phase = 1, 'left_cohort', 'entered') as reason,
            'identity' as key_type,
            match_key as key_value,
            match_key,
            'Cart' as cohort_name,
            to_hex(hash('payload', number)) as payload_hash,
            [person_id] as person_ids,
            [anchor] as anchors
        from staging.stg_relay__syncs as syncs, placed
        order by plan, sync_name, phase, place
        """,
        {
            "first": first,
            "last": last,
            "members": membership.members,
            "a_plan": A_PLAN,
            "a_request": ROWS_A_REQUEST,
        },
    )
    connection.execute(
        """
        insert into raw.ledger_lines by name
        with requests as (
            select plan_id, sync_name, request, kind
            from (select distinct plan_id, sync_name, request from raw.plan_rows),
                (values ('sending'), ('answered')) as kinds(kind)
            where plan_id >= format('plan-{:04}', $first)
        )
        select
            (select coalesce(max(seq), 0) from raw.ledger_lines)
            + row_number() over (order by plan_id, sync_name, request, kind desc) as seq,
            timestamp '2026-01-02' as at,
            *,
            1 as attempt,
            if(kind = 'answered', 200, null) as http_status,
            if(kind = 'answered', 'delivered', null) as outcome,
            [] as rejected,
            [] as unknown,
            plan_id || '.ndjson' as line_file
        from requests
        order by seq
        """,
        {"first": first},
    )
