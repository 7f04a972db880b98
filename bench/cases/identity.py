"""Identity: links to persons against connected components, new links, and the worst shape."""

from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
from duckdb import DuckDBPyConnection
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from bench.case import Case, Figure, expect
from bench.measuring import Pairs, Side, alternate, best_wall, median_cpu
from compiled import CompiledModels

RESOLVING = ("identity__identifiers",)
GIVEN = (
    "identity__candidates",
    "identity__nodes",
    "identity__region",
    "identity__scope",
    "identity__overrides",
)
COLUMNS = "link_rank, left_key, right_key, link_class, left_id_type, left_id_value"


@dataclass(frozen=True)
class Links:
    """Candidate links in a database of their own: `people`, a `chain` in path order, a `star`."""

    path: Path
    size: int
    shape: str

    def make(self) -> None:
        """Make the tables that the models of identity read.

        Of people, an amplitude id follows one of the user ids (three to a person on average), or
        every tenth the amplitude id before it, so that chains of up to some dozens come about.
        """
        right = {
            "people": (
                "if(number % 10 = 9, 'amplitude_id:' || number - 1,"
                " 'user_id:' || hash(number) % greatest({size} // 3, 1))"
            ),
            "chain": "'amplitude_id:' || number + 1",
            "star": "'user_id:0'",
        }[self.shape].replace("{size}", str(self.size))
        with duckdb.connect(str(self.path)) as connection:
            connection.execute("create schema identity")
            connection.execute(
                "create table stated as select 1 as link_rank,"
                " 'amplitude_id' as left_id_type, cast(number as varchar) as left_id_value,"
                f" 'amplitude_id:' || number as left_name, {right} as right_name,"
                " split_part(right_name, ':', 1) as right_id_type,"
                " split_part(right_name, ':', 2) as right_id_value,"
                " if(right_id_type = 'user_id', 'observed', 'merged') as link_class"
                f" from range(1, {self.size + 1}) as numbers(number)"
            )
            connection.execute(
                "create table identity.candidates as select *, cast(md5(left_name) as uuid)"
                " as left_key, cast(md5(right_name) as uuid) as right_key from stated"
            )
            connection.execute(
                "create table identity.nodes as with named as ("
                "select left_key as identifier_key, left_id_type as id_type,"
                " left_id_value as id_value from identity.candidates union distinct"
                " select right_key, right_id_type, right_id_value from identity.candidates)"
                " select identifier_key, id_type, 'default' as namespace, id_value,"
                " timestamp '2026-03-01' as first_seen_at, timestamp '2026-03-01' as last_seen_at,"
                " true as is_seen from named"
            )
            connection.execute(
                "create table identity.region as select cast(null as uuid) as identifier_key"
                " where false"
            )
            connection.execute("create table identity.scope as select 1 as build_number")
            connection.execute(
                "create table identity.overrides as select 'link' as kind, left_key, right_key"
                " from identity.candidates where false"
            )
            connection.execute("drop table stated")
            connection.execute("checkpoint")

    def resolve(self, connection: DuckDBPyConnection, models: CompiledModels) -> None:
        """What a build of everything anew runs from candidate links to persons."""
        models.run(connection, RESOLVING, given=GIVEN)

    def check_persons(self, connection: DuckDBPyConnection) -> None:
        """Each person is one component, and each component one person."""
        ((nodes, persons, components, pairs, anchors),) = connection.execute(
            "select count(*), count(distinct end_key), count(distinct component),"
            " count(distinct (end_key, component)), count(distinct anchor_key)"
            " from components left join identity.identifiers using (identifier_key)"
        ).fetchall()
        expect("persons, pairs and anchors", (persons, pairs, anchors), (components,) * 3)
        ((identifiers,),) = connection.execute(
            "select count(*) from identity.identifiers"
        ).fetchall()
        expect("identifiers", identifiers, nodes)
        if self.shape != "people":
            expect("one person", persons, 1)


def components_by_scipy(connection: DuckDBPyConnection) -> None:
    """The yardstick: from the very links that the models read, back to a table of components.

    Keys are UUIDs, of which Python makes objects, so they are hashed to numbers where they are;
    numpy finds the distinct ones, and where each of them stands first is the row of its key. Of the
    ways that were tried this is the cheapest: to number the keys in SQL, or to bring them back by a
    join on the hash, costs half as much again. Two keys of one hash would show in the count.
    """
    links = connection.execute(
        "select hash(left_key) as a, hash(right_key) as b from identity.candidates"
    ).fetchnumpy()
    nodes, firsts, numbers = np.unique(
        np.concatenate([links["a"], links["b"]]), return_index=True, return_inverse=True
    )
    left, right = np.split(numbers, 2)
    ones = np.ones(len(left), dtype=np.int8)
    graph = coo_matrix((ones, (left, right)), shape=(len(nodes), len(nodes)))
    _, labels = connected_components(graph, directed=False)
    is_first = np.zeros(len(numbers), dtype=bool)
    is_first[firsts] = True
    connection.register("found", pa.table({"component": labels[numbers], "is_first": is_first}))
    connection.execute(
        "create or replace table components as select identifier_key, component from ("
        "select left_key as identifier_key from identity.candidates"
        " union all select right_key from identity.candidates"
        ") positional join found where is_first"
    )
    connection.unregister("found")


def prepare(folder: Path, size: int) -> None:
    """People of the size, and a chain and a star of a tenth of it."""
    CompiledModels.of_project(folder.parent / "compiled")
    for links in _all_links(folder, size):
        links.make()


def measure(folder: Path, size: int, rounds: int) -> list[Figure]:
    """Links to persons, each against scipy, which is the truth too; then chain against star."""
    models = CompiledModels.of_project(folder.parent / "compiled")
    people, chain, star = _all_links(folder, size)
    with duckdb.connect(str(people.path)) as connection:
        components_by_scipy(connection)
        pairs = alternate(
            Side(
                lambda: people.resolve(connection, models),
                lambda _: people.check_persons(connection),
            ),
            Side(lambda: components_by_scipy(connection), lambda _: None),
            rounds,
        )
        peers = [_networkx(connection, size)] if size <= 300_000 else []
    ratios = sorted(pairs.ratios())
    return [
        Figure(
            "identity",
            size,
            ratios[len(ratios) // 2],
            median_cpu(pairs.ours),
            best_wall(pairs.ours),
            ratios[0],
            ratios[-1],
            against=f"scipy, {median_cpu(pairs.theirs):.2f} CPU s",
        ),
        _chain_figure(chain, star, models, rounds),
        *peers,
    ]


def alone(folder: Path, size: int) -> None:
    """Resolve people once."""
    models = CompiledModels.of_project(folder.parent / "compiled")
    people = _all_links(folder, size)[0]
    with duckdb.connect(str(people.path)) as connection:
        people.resolve(connection, models)


def _all_links(folder: Path, size: int) -> tuple[Links, Links, Links]:
    length = size // 10
    return (
        Links(folder / "people.duckdb", size, "people"),
        Links(folder / "chain.duckdb", length, "chain"),
        Links(folder / "star.duckdb", length, "star"),
    )


def _chain_figure(chain: Links, star: Links, models: CompiledModels, rounds: int) -> Figure:
    with (
        duckdb.connect(str(chain.path)) as of_chain,
        duckdb.connect(str(star.path)) as of_star,
    ):
        components_by_scipy(of_chain)
        components_by_scipy(of_star)
        pairs: Pairs = alternate(
            Side(
                lambda: chain.resolve(of_chain, models),
                lambda _: chain.check_persons(of_chain),
            ),
            Side(lambda: star.resolve(of_star, models), lambda _: star.check_persons(of_star)),
            rounds,
        )
    more = sorted(
        ours.wall - theirs.wall for ours, theirs in zip(pairs.ours, pairs.theirs, strict=True)
    )
    return Figure(
        "identity_chain",
        chain.size,
        more[len(more) // 2],
        median_cpu(pairs.ours),
        best_wall(pairs.ours),
        more[0],
        more[-1],
        against=f"a star, {median_cpu(pairs.theirs):.2f} CPU s",
        note="by the clock",
    )


def _networkx(connection: DuckDBPyConnection, size: int) -> Figure:
    """The graph library one would reach for first."""
    import networkx

    ((truth,),) = connection.execute("select count(distinct component) from components").fetchall()

    def components() -> int:
        graph = networkx.Graph()
        graph.add_edges_from(
            connection.execute(
                "select hash(left_key), hash(right_key) from identity.candidates"
            ).fetchall()
        )
        return sum(1 for _ in networkx.connected_components(graph))

    side = Side(components, lambda found: expect("components of networkx", found, truth))
    cost = side.once()
    return Figure("networkx, links to components", size, cost.wall, cost.cpu, cost.wall, unit="s")


CASE = Case(
    name="identity",
    what="candidate links to persons, and a chain in path order",
    sizes=(100_000, 1_000_000),
    prepare=prepare,
    measure=measure,
    alone=alone,
)
