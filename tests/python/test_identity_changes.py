"""ID-22 to ID-24: what is owed to a destination when a person, or their key, is another.

From rows to the membership diff: the tables of the rules, and each reason of a change.
"""

from pathlib import Path
from typing import Any

import pytest

from compiled import CompiledModels
from identity_builds import IdentityBuilds
from identity_world import World

Change = tuple[str, str, str]
"""Type and value of a key, and why."""


class Diff:
    """A world with its membership diff, which can be answered for."""

    def __init__(self, world: World, compiled: CompiledModels) -> None:
        self.world = world
        self._compiled = compiled
        self._plans = 0
        self._seq = 0

    def build(self, *models: str) -> None:
        """Resolve, and compare with the ledger; then these models too."""
        self.world.build()
        self._compiled.run(
            self.world.connection,
            ["cohorts__membership_changes", *models],
            given=self.world.models.order,
        )

    def changes(self, action: str, sync: str = "c") -> set[Change]:
        """What a sync owes: (key type, value sent, reason)."""
        return set(
            self.world.rows(
                "select key_type, key_value, reason from cohorts.membership_changes"
                f" where sync_name = '{sync}' and action = '{action}'"
            )
        )

    def related(self, column: str) -> dict[str, list[tuple[str, str]]]:
        """`replaced_by` or `after` of each change that has one, by its match key."""
        rows = self.world.rows(
            f"select match_key, {column} from cohorts.membership_changes where len({column}) > 0"
        )
        return {key: [tuple(one.values()) for one in others] for key, others in rows}

    def send(self, *, unanswered: tuple[str, ...] = ()) -> None:
        """Deliver everything that is owed, but for the keys whose answer is lost."""
        for sync, destination in self.world.rows(
            "select distinct sync_name, destination from cohorts.membership_changes order by all"
        ):
            self._plans += 1
            plan = f"plan-{self._plans:03}"
            self._execute(
                "insert into raw.plans values (?, 'h', 'sync', timestamp '2026-03-02', null, true)",
                plan,
            )
            self._execute(
                "insert into raw.plan_syncs by name select ? as plan_id, ? as sync_name,"
                " 'cohort_sync' as kind, ? as destination, '7' as cohort_id,"
                " 'Cohort 7' as cohort_name, ? as ledger_seq, 'ready' as state, true as has_rows",
                *(plan, sync, destination, self._seq),
            )
            # Request 1 is answered, request 2 is not.
            self._execute(
                "insert into raw.plan_rows by name select ? as plan_id, sync_name, change_id,"
                " if(list_contains(?::varchar[], match_key), 2, 1) as request,"
                " row_number() over (partition by request order by change_id) - 1 as position,"
                " phase, action, reason, key_type, key_value, match_key, cohort_name,"
                " payload_hash, person_ids, anchors"
                " from cohorts.membership_changes where sync_name = ?",
                *(plan, list(unanswered), sync),
            )
            self._line("sending", plan, sync, 1)
            self._line("answered", plan, sync, 1, "delivered")
            if unanswered:
                self._line("sending", plan, sync, 2)

    def _line(
        self, kind: str, plan: str, sync: str, request: int, outcome: str | None = None
    ) -> None:
        self._seq += 1
        self._execute(
            "insert into raw.ledger_lines by name select ? as seq, ? as kind, ? as plan_id,"
            " ? as sync_name, ? as request, ? as outcome, [] as rejected, [] as unknown,"
            " timestamp '2026-03-02' as at, 'f' as line_file, json('{}') as detail",
            *(self._seq, kind, plan, sync, request, outcome),
        )

    def _execute(self, query: str, *parameters: Any) -> None:
        self.world.connection.execute(query, list(parameters))


@pytest.fixture
def diff(identity_builds: IdentityBuilds, compiled_models: CompiledModels, tmp_path: Path) -> Diff:
    return Diff(World(identity_builds, tmp_path), compiled_models)


def test_id_22_what_is_in_doubt_is_sent_again_or_waits(diff: Diff) -> None:
    world = diff.world
    world.sync("c", "7", "clevertap")
    world.sync("m", "7", "moengage")
    world.cohort("7", [(None, user) for user in ("b-1", "c-1", "d-1", "e-1")], 1)
    diff.build()
    diff.send(unanswered=("c-1", "e-1"))
    world.cohort("7", [(None, user) for user in ("a-1", "b-1", "c-1")], 2)
    diff.build()
    assert diff.changes("removed", "m") == {
        ("user_id", "d-1", "left_cohort"),
        ("user_id", "e-1", "left_cohort"),
    }
    assert diff.changes("added", "m") == {
        ("user_id", "a-1", "entered"),
        ("user_id", "c-1", "resend"),
    }
    assert diff.changes("removed", "c") == {("identity", "d-1", "left_cohort")}
    assert diff.changes("added", "c") == {("identity", "a-1", "entered")}
    assert world.rows(
        "select match_key from cohorts.compared_keys where list_name = 'frozen' order by 1"
    ) == [("c-1",), ("e-1",)]


def test_id_23_the_table_of_changed_keys(diff: Diff) -> None:
    world = diff.world
    world.sync("c", "7", "clevertap", ["CleverTap_Identity", "user_id"])
    world.event(1, 231, None, "e-1")
    world.event(1, 232, None, "f-1")
    world.event(1, 233, "Fay", "f-2")
    world.event(1, 234, "gus-1", "g-1")
    world.event(1, 235, "u-5", properties={"CleverTap_Identity": "k1"})
    world.event(1, 236, "u-6", properties={"CleverTap_Identity": "k2"})
    world.event(1, 237, None, "j-1")
    world.event(2, 238, "Jan", "j-1")
    world.cohort("7", [(number, "") for number in range(231, 239)])
    diff.build()
    assert diff.changes("removed") == diff.changes("reasserted") == set()
    assert {key for _, key, _ in diff.changes("added")} == {
        *("e-1", "f-1", "Fay", "gus-1", "k1", "k2", "Jan"),
    }
    diff.send()
    diff.build()
    assert world.rows("from cohorts.membership_changes") == []

    world.event(3, 231, "Eva", "e-1")
    world.merge(232, 233, 3)
    world.event(3, 234, "gus-1", properties={"CleverTap_Identity": "G9"})
    world.event(3, 235, "u-5", properties={"CleverTap_Identity": "K2"})
    world.event(3, 236, "u-6", properties={"CleverTap_Identity": "k1"})
    world.override("separate", "amplitude_id:237", "user_id:Jan")
    diff.build()
    assert diff.changes("removed") == {
        ("object_id", "e-1", "rekeyed"),
        ("object_id", "f-1", "rekeyed"),
        ("identity", "gus-1", "rekeyed"),
    }
    assert diff.changes("added") == {
        ("identity", "Eva", "rekeyed"),
        ("identity", "G9", "rekeyed"),
    }
    assert {key for _, key, _ in diff.changes("reasserted")} == {"Fay"}
    assert diff.related("replaced_by") == {
        "e-1": [("identity", "eva")],
        "f-1": [("identity", "fay")],
        "gus-1": [("identity", "g9")],
    }
    assert diff.related("after")["eva"] == [("object_id", "e-1")]


def test_id_23_each_reason_of_a_removal(diff: Diff) -> None:
    world = diff.world
    world.sync("c", "7", "clevertap")
    world.cohort("7", [(None, user) for user in ("goes", "stays", "qa-1", "till-7")], 1)
    diff.build()
    diff.send()
    world.suppress("user_id", "qa-1")
    world.junk("user_id", "exact", "till-7")
    world.cohort("7", [(None, user) for user in ("stays", "qa-1", "till-7", "new")], 2)
    diff.build()
    assert diff.changes("removed") == {
        ("identity", "goes", "left_cohort"),
        ("identity", "qa-1", "unsendable"),
        ("identity", "till-7", "person_gone"),
    }
    assert diff.changes("added") == {("identity", "new", "entered")}


def test_id_11_a_separation_shows_in_the_difference_before_anything_is_sent(diff: Diff) -> None:
    world = diff.world
    world.sync("c", "7", "clevertap")
    world.event(1, 141, None, "q-1")
    world.event(2, 142, "Pam", "q-2")
    world.merge(141, 142)
    world.cohort("7", [(141, "")])
    diff.build()
    assert diff.changes("added") == {("identity", "Pam", "entered")}
    diff.send()
    world.override("separate", "amplitude_id:141", "user_id:Pam")
    diff.build()
    assert world.people() == {frozenset({"141"}), frozenset({"142", "Pam"})}
    assert diff.changes("removed") == {("identity", "Pam", "left_cohort")}
    assert diff.changes("added") == {("object_id", "q-1", "entered")}


def test_id_24_rows_are_counted_as_rows_people_once_and_keys_once(diff: Diff) -> None:
    world = diff.world
    world.sync("c", "7", "clevertap")
    world.event(1, 241, "Kim")
    world.event(1, 243)
    world.merge(243, 241)
    world.cohort("7", [(241, "Kim"), (241, "Kim"), (243, ""), (242, "kim"), (244, ""), (None, "")])
    diff.build("reports__parity")
    assert world.rows(
        "select amplitude_count, kind, reason, difference from reports.parity order by step"
    ) == [
        (6, "unidentifiable", "no_usable_id", -1),
        (6, "same_person", "several_profiles", -2),
        (6, "unaddressable", "no_key: no_identifier", -1),
        (6, "same_key", "several_persons", -1),
        (6, "to_add", "entered", -1),
    ]
    diff.send()
    diff.build("reports__parity")
    assert world.rows("select distinct amplitude_count, confirmed_count from reports.parity") == [
        (6, 1)
    ]
    assert world.rows("from cohorts.membership_changes") == []
