"""Brings sealed plans and the ledger into raw tables: only what is new since the last look.

The files are the truth. What was read from a file that is gone or has become shorter is taken out
again, and what was gone is taken in again when it is back. Either way the generation moves, so that
dbt folds the ledger from its beginning: it looks for new lines behind the last that it knows.
"""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
from duckdb import DuckDBPyConnection

from relay.durable import sha256_of
from relay.errors import LedgerError, PlanError
from relay.plan.manifest import plan_hash_of, sealed_manifests
from relay.settings import Home

# Nearly every line is shorter; of a file that is known only so much is read again.
_END_BYTES = 2_000
_LINE_TYPES = pa.schema(
    [
        ("seq", pa.int64()),
        ("at", pa.string()),
        ("kind", pa.string()),
        ("plan_id", pa.string()),
        ("sync_name", pa.string()),
        ("request", pa.int64()),
        ("attempt", pa.int64()),
        ("http_status", pa.int64()),
        ("outcome", pa.string()),
        (
            "rejected",
            pa.list_(
                pa.struct([("position", pa.int64()), ("code", pa.string()), ("text", pa.string())])
            ),
        ),
        ("unknown", pa.list_(pa.int64())),
        ("detail", pa.string()),
        ("line_file", pa.string()),
    ]
)


def refresh_ledger_tables(connection: DuckDBPyConnection, home: Home) -> None:
    """Make `raw.plans`, `plan_syncs`, `plan_rows` and `ledger_lines` equal what the files hold.

    Costs a look at each folder's listing and the reading of what is new.

    Raises:
        PlanError: A new plan's manifest or rows are missing, or are not what was sealed.
        LedgerError: A ledger line, other than a last one cut off by a crash, cannot be read.
    """
    _forget_what_is_gone(connection, home)
    _read_new_plans(connection, home)
    _note_missing_ledgers(connection, home)
    _read_new_lines(connection, home)


def _forget_what_is_gone(connection: DuckDBPyConnection, home: Home) -> None:
    """Take out plans without a manifest and files with fewer lines than were read from them."""
    (row,) = connection.execute("select count(*) from raw.ledger_generation").fetchall()
    if row[0] == 0:
        connection.execute("insert into raw.ledger_generation values (1)")
    plans = [plan for (plan,) in connection.execute("select plan_id from raw.plans").fetchall()]
    gone_plans = [plan for plan in plans if not (home.outbox / plan / "manifest.json").exists()]
    read = connection.execute(
        "select line_file, max(seq) from raw.ledger_lines group by line_file"
    ).fetchall()
    gone_files = [name for name, seq in read if _last_seq(home.ledger / name) < seq]
    if not gone_plans and not gone_files:
        return
    _fold_anew(connection)
    for table in ("raw.plans", "raw.plan_syncs", "raw.plan_rows"):
        connection.execute(f"delete from {table} where list_contains(?, plan_id)", [gone_plans])
    connection.execute(
        "delete from raw.ledger_lines where list_contains(?, line_file)", [gone_files]
    )


def _fold_anew(connection: DuckDBPyConnection) -> None:
    """Move the generation; before the rows change, so that no crash comes between unseen."""
    connection.execute("update raw.ledger_generation set generation = generation + 1")


def _last_seq(path: Path) -> int:
    """The sequence number of a ledger file's last whole line; 0 without one.

    Raises:
        LedgerError: That line cannot be read.
    """
    if not path.exists():
        return 0
    size = path.stat().st_size
    looked_at = _END_BYTES
    with path.open("rb") as file:
        while True:
            start = max(0, size - looked_at)
            file.seek(start)
            # What comes before the first line end may be the rest of a line.
            lines = file.read().split(b"\n")[0 if start == 0 else 1 : -1]
            if lines:
                try:
                    return int(json.loads(lines[-1])["seq"])
                except (ValueError, KeyError, TypeError) as error:
                    file.seek(0)
                    raise _damaged(path, file.read().count(b"\n"), lines[-1], error) from error
            if start == 0:
                return 0
            looked_at *= 16


def _read_new_plans(connection: DuckDBPyConnection, home: Home) -> None:
    known = {plan for (plan,) in connection.execute("select plan_id from raw.plans").fetchall()}
    new = [file for file in sealed_manifests(home) if file.parent.name not in known]
    if not new:
        return
    told = connection.execute(
        "select 1 from raw.ledger_lines where list_contains(?, plan_id) limit 1",
        [[file.parent.name for file in new]],
    ).fetchall()
    # A plan that is back: its lines were passed over without it.
    if told:
        _fold_anew(connection)
    for manifest_file in new:
        _read_plan(connection, manifest_file)


def _read_plan(connection: DuckDBPyConnection, manifest_file: Path) -> None:
    folder = manifest_file.parent
    try:
        manifest: dict[str, Any] = json.loads(manifest_file.read_text(encoding="utf-8"))
        plan_id = manifest["plan_id"]
        plan = [plan_id, manifest["plan_hash"], manifest["kind"], manifest["created_at"]]
        syncs = manifest["syncs"]
        row_files = [file for file in manifest["files"] if file["role"] == "rows"]
        sealed = {folder / file["path"]: file["sha256"] for file in row_files}
    except (ValueError, KeyError, TypeError) as error:
        raise _not_as_sealed(
            manifest_file, f"is not a manifest of a sealed plan ({error})"
        ) from error
    if plan_hash_of(manifest) != manifest["plan_hash"]:
        raise _not_as_sealed(manifest_file, "was changed after sealing")
    if plan_id != folder.name:
        raise PlanError(
            f"{manifest_file} is of plan {plan_id}: give its folder that name again or, if it is a"
            f" copy, move it out of {folder.parent}"
        )
    for path, sha256 in sealed.items():
        if not path.is_file():
            raise _not_as_sealed(path, "is missing")
        if sha256_of(path) != sha256:
            raise _not_as_sealed(path, "was changed after sealing")
    connection.execute("begin transaction")
    try:
        connection.execute(
            "insert into raw.plans by name select ? as plan_id, ? as plan_hash, ? as kind,"
            " cast(cast(? as timestamptz) as timestamp) as created_at, ? as undoes,"
            " true as has_ledger",
            [*plan, manifest.get("undoes")],
        )
        columns = [
            name
            for (name,) in connection.execute(
                "select column_name from duckdb_columns()"
                " where schema_name = 'raw' and table_name = 'plan_syncs'"
            ).fetchall()
        ]
        for sync in syncs:
            planned = [file["rows"] for file in row_files if file["sync"] == sync["name"]]
            known = {
                "plan_id": plan_id,
                "sync_name": sync["name"],
                "has_rows": bool(planned),
                "planned": planned[0] if planned else None,
            }
            values = {**sync, **known}
            connection.execute(
                f"insert into raw.plan_syncs values ({', '.join('?' for _ in columns)})",
                [values.get(column) for column in columns],
            )
        for file in row_files:
            connection.execute(
                "insert into raw.plan_rows by name"
                " select ? as plan_id, ? as sync_name, * from read_parquet(?)",
                [plan_id, file["sync"], str(folder / file["path"])],
            )
    except BaseException:
        connection.execute("rollback")
        raise
    connection.execute("commit")


def _not_as_sealed(path: Path, problem: str) -> PlanError:
    return PlanError(
        f"{path} {problem}: what its plan delivered cannot be told without it. Restore it from a"
        f" backup; without one, move {path.parent} out of the outbox: then the syncs of which the"
        " plan sent something are held as plan_missing, to be approved or adopted"
    )


def _note_missing_ledgers(connection: DuckDBPyConnection, home: Home) -> None:
    """Sealing makes each plan's ledger file, so a plan without one has lost it."""
    plans = connection.execute("select plan_id, has_ledger from raw.plans").fetchall()
    for plan_id, had_ledger in plans:
        has_ledger = (home.ledger / f"{plan_id}.ndjson").exists()
        if has_ledger != had_ledger:
            connection.execute(
                "update raw.plans set has_ledger = ? where plan_id = ?", [has_ledger, plan_id]
            )


def _read_new_lines(connection: DuckDBPyConnection, home: Home) -> None:
    read: dict[str, int] = dict(
        connection.execute(
            "select line_file, max(seq) from raw.ledger_lines group by line_file"
        ).fetchall()
    )
    rows: list[dict[str, Any]] = []
    for path in sorted(home.ledger.glob("*.ndjson")):
        if _last_seq(path) > read.get(path.name, 0):
            rows += _new_lines(path, read.get(path.name, 0))
    if not rows:
        return
    # A file that is back: the lines of others went on meanwhile.
    if min(row["seq"] for row in rows) < max(read.values(), default=0):
        _fold_anew(connection)
    lines = pa.Table.from_pylist(rows, schema=_LINE_TYPES)
    connection.register("new_ledger_lines", lines)
    connection.execute(
        "insert into raw.ledger_lines by name select * replace ("
        ' cast(cast("at" as timestamptz) as timestamp) as "at", cast(detail as json) as detail)'
        " from new_ledger_lines order by seq"
    )
    connection.unregister("new_ledger_lines")


def _new_lines(path: Path, after: int) -> list[dict[str, Any]]:
    """The whole lines of one ledger file with a greater `seq`; a cut last line is not yet one."""
    rows = []
    content = path.read_bytes()
    for number, text in enumerate(content.split(b"\n")[:-1], start=1):
        try:
            line = json.loads(text)
            if line["seq"] <= after:
                continue
            rows.append(
                {
                    **{field.name: line.get(field.name) for field in _LINE_TYPES},
                    "sync_name": line.get("sync"),
                    "detail": None if line.get("detail") is None else json.dumps(line["detail"]),
                    "rejected": [
                        {
                            "position": one.get("position"),
                            "code": None if one.get("code") is None else str(one["code"]),
                            "text": one.get("text"),
                        }
                        for one in line.get("rejected") or []
                    ],
                    "unknown": line.get("unknown") or [],
                    "line_file": path.name,
                }
            )
        except (ValueError, KeyError, TypeError) as error:
            raise _damaged(path, number, text, error) from error
    return rows


def _damaged(path: Path, number: int, text: bytes, error: Exception) -> LedgerError:
    if not text.strip():
        return LedgerError(f"{path}, line {number}: is empty, as an editor leaves it; delete it")
    return LedgerError(
        f"{path}, line {number}: not a ledger line ({error}); the file was changed by hand or"
        " damaged: restore it from a copy"
    )
