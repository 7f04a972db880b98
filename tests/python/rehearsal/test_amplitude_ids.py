"""Amplitude's documented tables, row by row: device, user, Amplitude id."""

import pytest

from relay.rehearsal.amplitude_ids import AmplitudeIds

TABLES: dict[str, list[tuple[str, str | None, int]]] = {
    "new_devices_get_new_ids": [
        ("A", None, 1),
        ("B", None, 2),
        ("B", None, 2),
        ("C", None, 3),
        ("A", None, 1),
    ],
    "the_first_user_claims_an_anonymous_device": [
        ("G", None, 4),
        ("G", None, 4),
        ("G", "John", 4),
    ],
    "a_known_user_wins_over_the_device": [("K", "Zack", 5), ("L", "Zack", 5)],
    "anonymous_events_go_to_the_last_known_user": [
        ("R", "Jane", 6),
        ("R", None, 6),
        ("R", "Mary", 7),
        ("R", None, 7),
        ("R", None, 7),
    ],
    "an_anonymous_id_is_merged_at_the_sign_in": [
        ("Y", "David", 8),
        ("Z", None, 9),
        ("Z", "David", 8),
        ("Z", None, 8),
    ],
}


@pytest.mark.parametrize("name", TABLES)
def test_documented_tables_are_reproduced(name: str) -> None:
    ids = AmplitudeIds(seed=1)
    numbers: dict[int, int] = {}
    for event, (device, user, expected) in enumerate(TABLES[name]):
        given = ids.assign(device, user, event, event)
        assert numbers.setdefault(given, expected) == expected
    assert len(set(numbers.values())) == len(numbers)
    merged = [(numbers[merge.amplitude_id], numbers[merge.merged_amplitude_id])
              for merge in ids.merges]  # fmt: skip
    assert merged == ([(9, 8)] if name == "an_anonymous_id_is_merged_at_the_sign_in" else [])


def test_an_absorbed_id_is_anonymous_and_its_survivor_is_not() -> None:
    ids = AmplitudeIds(seed=1)
    for device, user in [("Y", "David"), ("Z", None), ("Z", "David"), ("X", None), ("X", "David")]:
        ids.assign(device, user, 0, 0)
    absorbed = {merge.amplitude_id for merge in ids.merges}
    survivors = {merge.merged_amplitude_id for merge in ids.merges}
    assert len(absorbed) == 2
    assert not absorbed & ids.user_of.keys()
    assert survivors <= ids.user_of.keys()
