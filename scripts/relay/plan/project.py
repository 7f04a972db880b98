"""The dbt project as it was read: what hangs on an input, and as little as a build needs."""

import hashlib
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import Any

# A macro of these names, before that of any engine, is what `adapter.dispatch` finds.
_DISPATCHED = ("duckdb__", "default__")


def was_elsewhere(manifest: Any, project_root: Path) -> bool:
    """Whether dbt goes by what it read of this project in another folder: seeds are not found."""
    seeds = (node for node in manifest.nodes.values() if node.resource_type == "seed")
    return any(seed.root_path != str(project_root) for seed in seeds)


def fingerprint(manifest: Any) -> str:
    """A hash over everything the project consists of: models, seeds, tests and macros."""
    parts = [f"{node_id}:{node.checksum.checksum}" for node_id, node in manifest.nodes.items()]
    parts += [f"{node_id}:{node.config.to_dict()}" for node_id, node in manifest.nodes.items()]
    parts += [f"{macro_id}:{macro.macro_sql}" for macro_id, macro in manifest.macros.items()]
    return hashlib.sha256("\n".join(sorted(parts)).encode()).hexdigest()


def whole_of(manifest: Any) -> list[Any]:
    """Every seed and model, and the tests of the data as a whole; not those of single columns."""
    return [
        node
        for node in manifest.nodes.values()
        if node.resource_type != "test" or _is_of_the_whole(node)
    ]


def fed_by(manifest: Any, inputs: Collection[str], unused: Collection[str]) -> list[Any]:
    """The models that hold data of the inputs, and the tests of the data as a whole.

    Views follow by themselves, except those whose text itself depends on data (`each_build`).
    Tables of a purpose that nothing is for (`unused`) are empty and stay so.
    """
    sources = [f"source.cohort_relay.raw.{name}" for name in inputs]
    reached = _with_all(sources, lambda one: manifest.child_map.get(one, ()))
    return [
        node
        for one in reached
        if (node := manifest.nodes.get(one)) is not None
        and (_is_of_the_whole(node) or _holds_data(node, unused))
    ]


def part_of(manifest: Any, nodes: Collection[Any]) -> Any:
    """A manifest of these nodes, of all that they read, and of the macros that they may call.

    Of what it is given, dbt puts every node in order at each start, and readies every macro anew
    for each node it runs.
    """
    from dbt.contracts.graph.manifest import Manifest

    read = _with_all(
        [node.unique_id for node in nodes],
        lambda one: manifest.nodes[one].depends_on_nodes if one in manifest.nodes else (),
    )
    return Manifest(
        nodes={one: node for one, node in manifest.nodes.items() if one in read},
        sources=dict(manifest.sources),
        macros=_macros_of(manifest, nodes),
        metadata=manifest.metadata,
    )


def _macros_of(manifest: Any, nodes: Collection[Any]) -> dict[str, Any]:
    """All macros of the project, and of dbt's own those that a run of the nodes can come to."""
    from dbt.adapters.base import impl as of_all
    from dbt.adapters.sql import impl as of_sql

    # What dbt's own Python calls goes by a name, and the names stand in constants.
    constants = {**vars(of_all), **vars(of_sql)}.items()
    begins = tuple(value for name, value in constants if name.endswith("_MACRO_NAME"))
    own = {macro.name for macro in manifest.macros.values() if macro.package_name == "cohort_relay"}
    kinds = {f"materialization_{node.config.materialized}_" for node in nodes}
    # Where the project has its own way of making a table, nobody comes to another one.
    begins += tuple(kind for kind in kinds if f"{kind}duckdb" not in own)
    by_name: dict[str, list[str]] = {}
    for one, macro in manifest.macros.items():
        by_name.setdefault(macro.name, []).append(one)

    def may_call(one: str) -> Iterable[str]:
        macro = manifest.macros[one]
        names = (f"{prefix}{macro.name}" for prefix in _DISPATCHED)
        return [
            *macro.depends_on.macros,
            *(same for name in names for same in by_name.get(name, ())),
        ]

    first = [one for node in nodes for one in getattr(node.depends_on, "macros", ())]
    for one, macro in manifest.macros.items():
        if macro.package_name == "cohort_relay" or macro.name.startswith(begins):
            first.append(one)
    called = _with_all(first, may_call)
    return {one: macro for one, macro in manifest.macros.items() if one in called}


def _with_all(first: Iterable[str], next_of: Callable[[str], Iterable[str]]) -> set[str]:
    """What can be reached from the first ones, they among it."""
    pending, reached = list(first), set()
    while pending:
        one = pending.pop()
        if one not in reached:
            reached.add(one)
            pending += next_of(one)
    return reached


def _is_of_the_whole(node: Any) -> bool:
    from dbt.contracts.graph.nodes import SingularTestNode

    return isinstance(node, SingularTestNode)


def _holds_data(node: Any, unused: Collection[str]) -> bool:
    if node.resource_type != "model" or _purpose_of(node.name) in unused:
        return False
    return node.config.materialized in {"table", "incremental"} or "each_build" in node.tags


def _purpose_of(model: str) -> str:
    """The destination a model is for, by its name; Amplitude has the room `events` for exports."""
    room, _, name = model.partition("__")
    if name == "amplitude_identities":
        return "identify"
    return "amplitude" if room == "events" else name.partition("_")[0]
