"""Configuration as tables: typed with no rows too, and written only when it changed."""

from pathlib import Path
from typing import Any

import duckdb
import pytest
from duckdb import DuckDBPyConnection

from relay.config_tables import write_config_tables
from relay.errors import ConfigurationError
from relay.settings import Settings, load_settings

TABLES = (
    "syncs",
    "settings",
    "junk_ids",
    "identity_overrides",
    "identity_namespaces",
    "suppressions",
)


@pytest.fixture
def connection() -> DuckDBPyConnection:
    connection = duckdb.connect()
    connection.execute("create schema raw")
    return connection


def settings_of(folder: Path, text: str = "", **files: str) -> Settings:
    (folder / "syncs.yml").write_text(text, encoding="utf-8")
    for name, content in files.items():
        (folder / f"{name}.csv").write_text(content, encoding="utf-8")
    return load_settings(folder, environ={"RELAY_NOW": "2026-03-02T12:00:00Z"})


def rows(connection: DuckDBPyConnection, table: str) -> list[dict[str, Any]]:
    cursor = connection.execute(f"select * from raw.{table}")
    names = [column[0] for column in cursor.description or []]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def test_every_table_is_typed_when_nothing_is_configured(
    connection: DuckDBPyConnection, tmp_path: Path
) -> None:
    write_config_tables(connection, settings_of(tmp_path))
    counts = {table: len(rows(connection, table)) for table in TABLES}
    assert counts == {table: 1 if table == "settings" else 0 for table in TABLES}
    types = dict(
        connection.execute(
            "select column_name, data_type from duckdb_columns() where table_name = 'syncs'"
        ).fetchall()
    )
    assert types["user_id_from"] == "VARCHAR[]"
    assert types["config"] == "JSON"
    assert types["max_removed_percent"] == "DOUBLE"
    (settings,) = rows(connection, "settings")
    assert None not in set(settings.values())


def test_a_sync_is_a_row_with_every_default(connection: DuckDBPyConnection, tmp_path: Path) -> None:
    text = """
guard: {max_removed_percent: 12.5}
cohort_syncs:
  - {name: a, cohort_id: "007", destination: clevertap, guard: {min_members: 3}}
event_exports:
  - {name: e, source: clevertap, device_id_from: none, events: ["it's", 'say "hi"']}
"""
    write_config_tables(connection, settings_of(tmp_path, text))
    cohort, export = rows(connection, "syncs")
    assert (cohort["cohort_id"], cohort["delivery"], cohort["at"]) == ("007", "events", "00:00")
    assert (cohort["max_removed_percent"], cohort["min_members"]) == (12.5, 3)
    assert (cohort["on_unknown"], export["on_unknown"]) == ("hold", "resend")
    assert (cohort["position"], export["position"]) == (1, 2)
    assert (export["user_id_from"], export["anonymous_id_from"]) == (["identity"], [])
    events = connection.execute(
        "select config ->> '$.residency', config ->> '$.events[1]'"
        " from raw.syncs where position = 2"
    ).fetchone()
    assert events == ("eu", 'say "hi"')


def test_only_a_table_whose_rows_changed_is_written_again(
    connection: DuckDBPyConnection, tmp_path: Path
) -> None:
    suppressed = "id_type,id_value,match\nuser_id,a,exact\n"
    write_config_tables(connection, settings_of(tmp_path, "suppress: s.csv", s=suppressed))
    before = _table_ids(connection)
    write_config_tables(connection, settings_of(tmp_path, "suppress: s.csv", s=suppressed))
    assert _table_ids(connection) == before
    more = suppressed + "user_id,b,exact\n"
    write_config_tables(connection, settings_of(tmp_path, "suppress: s.csv", s=more))
    after = _table_ids(connection)
    assert {name for name in TABLES if after[name] != before[name]} == {"suppressions"}
    assert len(rows(connection, "suppressions")) == 2


def _table_ids(connection: DuckDBPyConnection) -> dict[str, int]:
    return dict(
        connection.execute(
            "select table_name, table_oid from duckdb_tables() where schema_name = 'raw'"
        ).fetchall()
    )


def test_own_files_keep_their_values_and_lines(
    connection: DuckDBPyConnection, tmp_path: Path
) -> None:
    text = (
        "identity: {junk_ids: j.csv, overrides: o.csv, namespaces: {'829528': partner_org}}\n"
        "suppress: s.csv\n"
    )
    settings = settings_of(
        tmp_path,
        text,
        j='\ufeffid_type,match,pattern,origin,is_active\nany,exact,"""""",mine,true\n\n'
        "any,exact,null,,false\nany,regex,[0-9]{3},,true\n",
        o="kind,left,right,note,author,decided_on\n"
        'separate,user_id:{partner_org}Ann,amplitude_id:{partner_org}812,"two\nlines",,2026-01-31\n'
        "link,user_id:a,user_id:b,,,\n",
        s="match,id_type,id_value,why\nregex,user_id,qa-.*,staff\n",
    )
    write_config_tables(connection, settings)
    junk = rows(connection, "junk_ids")
    assert [(row["pattern"], row["is_active"], row["line"]) for row in junk] == [
        ('""', True, 2),
        ("null", False, 4),
        ("[0-9]{3}", True, 5),
    ]
    overrides = rows(connection, "identity_overrides")
    assert [(row["left_id"], row["note"], row["line"]) for row in overrides] == [
        ("user_id:{partner_org}Ann", "two\nlines", 2),
        ("user_id:a", None, 4),
    ]
    assert rows(connection, "identity_namespaces") == [
        {"project": "829528", "namespace": "partner_org"}
    ]
    assert rows(connection, "suppressions") == [
        {"id_type": "user_id", "id_value": "qa-.*", "match": "regex", "line": 2}
    ]


@pytest.mark.parametrize(
    ("file", "content", "expected"),
    [
        ("s", "id_type;id_value;match\n", "s.csv:1: id_type: expected this column"),
        ("s", "id_type,id_value,match\nuser_id,a\n", "s.csv:2: expected 3 fields"),
        ("s", "id_type,id_value,match\nemail,a,exact\n", "s.csv:2: id_type: expected user_id"),
        ("s", "id_type,id_value,match\nuser_id,a,like\n", "s.csv:2: match: expected exact"),
        ("s", "id_type,id_value,match\nuser_id,a(,regex\n", "s.csv:2: id_value: .* missing \\)"),
        ("s", "id_type,id_value,match\nuser_id,(?=a),regex\n", "s.csv:2: id_value: .*RE2"),
        ("s", "id_type,id_value,match\namplitude_id,-8,exact\n", "s.csv:2: id_value: expected an"),
        ("s", 'id_type,id_value,match\nuser_id,"a,exact\n', "s.csv:2: is not CSV"),
        ("j", "id_type,match,pattern,origin\n", "j.csv:1: is_active: expected this column"),
        ("j", "id_type,match,pattern,origin,is_active\nany,exact,,,yes\n", "j.csv:2: pattern: "),
        ("o", "kind,left,right,note,author,decided_on\nlink,Ann,user_id:b,,,\n", "o.csv:2: left: "),
        ("o", "kind,left,right,note,author,decided_on\nlink,user_id:a,amplitude_id:x,,,\n",
         "o.csv:2: right: expected an amplitude id"),
        ("o", "kind,left,right,note,author,decided_on\nlink,user_id:{no}a,user_id:b,,,\n",
         "o.csv:2: left: expected a namespace of identity.namespaces: default, partner_org"),
        ("o", "kind,left,right,note,author,decided_on\nlink,user_id:{partner_org}a,user_id:b,,,\n",
         "o.csv:2: right: expected the namespace of left"),
        ("o", "kind,left,right,note,author,decided_on\nlink,user_id:a,user_id:a,,,31.1.\n",
         "o.csv:2: decided_on: .*\n.*o.csv:2: right: expected another"),
    ],
)  # fmt: skip
def test_a_wrong_cell_is_told_with_its_place_and_nothing_is_written(
    connection: DuckDBPyConnection, tmp_path: Path, file: str, content: str, expected: str
) -> None:
    key = {"s": "suppress", "j": "junk_ids", "o": "overrides"}[file]
    own = f"{key}: {file}.csv, " if file != "s" else ""
    text = f"identity: {{{own}namespaces: {{'829528': partner_org}}}}\n"
    text += "suppress: s.csv\n" if file == "s" else ""
    settings = settings_of(tmp_path, text, **{file: content})
    with pytest.raises(ConfigurationError, match=f"(?s){expected}"):
        write_config_tables(connection, settings)
    assert _table_ids(connection) == {}
