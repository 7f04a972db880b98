"""Identity when little is new: 10,000 links on what is resolved already, against a full rebuild.

`--size 10000000` asks for the ten millions of the issue: some ten minutes, and 5 GB on disk.
"""

from pathlib import Path

import duckdb
from duckdb import DuckDBPyConnection

from bench.case import Case, Figure, expect
from bench.measuring import Pairs, Side, best_wall, median_cpu
from identity_builds import IdentityBuilds
from relay.settings import find_project_root, load_settings
from relay.warehouse import prepare as prepare_warehouse

NEW_LINKS = 10_000
# Above it everything is built anew once, and new links are added to that.
REBUILT_EACH_ROUND = 300_000
# What a build may use unless RELAY_MEMORY says otherwise; the rest goes to disk.
MEMORY_LIMIT = "600MB"


def prepare(folder: Path, size: int) -> None:
    """A warehouse with one event of each of `size` amplitude ids, not resolved yet."""
    builds = _builds(folder)
    with duckdb.connect(str(folder / "relay.duckdb")) as connection:
        connection.execute("set TimeZone = 'UTC'")
        prepare_warehouse(connection, load_settings(folder / "home", environ={}))
        connection.execute("delete from raw.syncs")
        connection.execute("create schema seeds")
        for seed in ("junk_ids", "moengage_blocked_ids"):
            path = find_project_root() / "seeds" / "mappings" / f"{seed}.csv"
            connection.execute(
                f"create table seeds.{seed} as from read_csv('{path}',"
                " header = true, all_varchar = true, escape = '\"')"
            )
        connection.execute("alter table seeds.junk_ids alter is_active type boolean")
        builds.build(connection)
        _add_events(connection, size, size)


def measure(folder: Path, size: int, rounds: int) -> list[Figure]:
    """Build everything anew, add links and build, and so on; after each all persons are right."""
    builds = _builds(folder)
    pairs = Pairs()
    with duckdb.connect(str(folder / "relay.duckdb")) as connection:
        connection.execute("set TimeZone = 'UTC'")
        connection.execute(f"set memory_limit = '{MEMORY_LIMIT}'")
        anew = Side(
            lambda: builds.build(connection, full_refresh=True), lambda _: _check(connection)
        )
        news = Side(
            lambda: builds.build(connection),
            lambda _: _check(connection),
            before=lambda: _add_events(connection, NEW_LINKS, size),
        )
        for number in range(rounds):
            if number == 0 or size <= REBUILT_EACH_ROUND:
                everything = anew.once()
            pairs.ours.append(news.once())
            pairs.theirs.append(everything)
    ratios = sorted(pairs.ratios())
    return [
        Figure(
            "identity_new_links",
            size,
            ratios[len(ratios) // 2],
            median_cpu(pairs.ours),
            best_wall(pairs.ours),
            ratios[0],
            ratios[-1],
            against=f"everything anew, {median_cpu(pairs.theirs):.2f} CPU s,"
            f" {best_wall(pairs.theirs):.0f} s by the clock",
            note="from raw events to persons and keys",
        )
    ]


def _builds(folder: Path) -> IdentityBuilds:
    return IdentityBuilds.of_project(folder.parent / "identity_builds")


def _add_events(connection: DuckDBPyConnection, count: int, size: int) -> None:
    """Events of new amplitude ids, each with the user id of one of a third as many people."""
    ((last, load_id),) = connection.execute(
        "select coalesce(max(amplitude_id), 0), coalesce(max(load_id), 0) from raw.amplitude_events"
    ).fetchall()
    connection.execute(
        """
        insert into raw.amplitude_events by name
        select
            uuid() as uuid,
            cast(number as varchar) as "$insert_id",
            829528 as app,
            number as amplitude_id,
            'user-' || hash(number) % ($size // 3) as user_id,
            'device-' || hash(number) as device_id,
            'Visit' as event_type,
            timestamp '2026-03-01' + to_seconds(number % 86400) as event_time,
            timestamp '2026-03-01' + to_seconds(number % 86400) as server_upload_time,
            '{}' as user_properties,
            '{}' as event_properties,
            'made' as source_file,
            number as line_number,
            $load_id as load_id,
            timestamp '2026-03-02' as loaded_at
        from range($last + 1, $last + 1 + $count) as numbers(number)
        """,
        {"size": size, "last": last, "count": count, "load_id": load_id + 1},
    )
    # What a load writes is the load's.
    connection.execute("checkpoint")


def _check(connection: DuckDBPyConnection) -> None:
    """A person is a user id with all of its amplitude ids, and is named by the smallest."""
    ((truth, truth_sum),) = connection.execute(
        "select count(*), sum(hash(anchor)) from (select 'amplitude_id:default:'"
        " || min(amplitude_id) as anchor from raw.amplitude_events group by user_id)"
    ).fetchall()
    ((found, found_sum),) = connection.execute(
        "select count(*), sum(hash(anchor)) from identity.persons"
    ).fetchall()
    expect("persons", (found, found_sum), (truth, truth_sum))


CASE = Case(
    name="identity_growth",
    what="10,000 new links on what is resolved, against everything anew",
    sizes=(100_000, 3_000_000),
    prepare=prepare,
    measure=measure,
)
