"""The truth, held against hand-written expectations and against the rules over the rows."""

from collections import Counter

import pytest

from rehearsal.resolver import Resolver, evidence
from relay.rehearsal.truth import Key
from relay.rehearsal.world import World


@pytest.fixture(scope="module")
def world() -> World:
    return World(people=400)


@pytest.mark.parametrize("with_merges", [True, False])
@pytest.mark.parametrize("seed", [7, 8])
def test_the_rules_over_the_rows_give_the_truth(seed: int, with_merges: bool) -> None:
    world = World(people=220, seed=seed)
    snapshots: list[tuple[str, tuple[tuple[str, str], ...]]] = []
    for step in (1, 2, 3):
        moment = world.at(step)
        events = [row for _, rows in moment.events() for row in rows]
        cohorts = [cohort for cohort in moment.cohorts() if cohort.computed_at]
        snapshots += [(f"{cohort.computed_at:%Y-%m-%d %H:%M:%S}.000000", cohort.rows)
                      for cohort in cohorts]  # fmt: skip
        resolver = Resolver(evidence(events, snapshots), moment.merges if with_merges else ())
        for cohort in cohorts:
            found = [resolver.key(*row) for row in cohort.rows]
            keys = {key for key in found if isinstance(key, Key)}
            truth = moment.truth(cohort.cohort_id)
            assert keys == set(truth.keys)
            assert len(found) == truth.rows
            assert found.count("unidentifiable") == truth.unidentifiable
            statuses = Counter(person.status for person in truth.persons)
            assert found.count("no_key") == statuses["no_key"]
            assert found.count("invalid_key") == statuses["invalid_key"]
