"""Any text that can be a key or a name reaches each vendor as it is, or is refused by name.

Generated values go through payload model and sealing, and are read back from the request bodies and
from the files for a hand: quotes, line breaks, controls, emoji, 64-bit numbers, long values.
"""

import csv
import io
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest
from duckdb import DuckDBPyConnection
from hypothesis import given, settings
from hypothesis import strategies as st

from compiled import CompiledModels
from relay.errors import PlanError
from relay.file_names import file_name_of
from relay.plan.seal import seal_sync

SEEDS = Path(__file__).parents[2] / "seeds"
TRICKY = [
    *("9223372036854775807", "9007199254740993", "007", "1e5", "1772442840000", "null", "true"),
    *('"', "'", "\\", "\\u0000", "a,b;c", '{"$add": ["x"]}', "</script>", "$sync", "$name", "%s"),
    *("\r", "\rx", "line\nbreak", "carriage\r\nreturn", "tab\there", "\x01\x1f\x7f", "\u202eabc"),
    *("🎧👩‍👩‍👧", "Zoë", "Zoe\u0308", "Ζωή Σ", "日本語", "\xa0", "é" * 256, "x" * 512, "ÿ" * 1024),
]
# What identity leaves over: no NUL and no half of a surrogate pair.
CHARACTERS = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
TEXT = st.one_of(st.sampled_from(TRICKY), st.text(CHARACTERS, min_size=1, max_size=40))
TEXTS = st.lists(TEXT, min_size=1, max_size=8, unique=True)
FEW = settings(max_examples=25, deadline=None)


@pytest.fixture(scope="module")
def warehouse(compiled_models: CompiledModels) -> DuckDBPyConnection:
    """One warehouse for all examples: what the payload models read is given anew by each."""
    connection = duckdb.connect()
    for schema in ("seeds", "staging", "ledger", "identity", "cohorts", "fields", "events"):
        connection.execute(f"create schema {schema}")
    connection.execute(
        f"create table seeds.request_limits as from '{SEEDS}/vendors/request_limits.csv'"
    )
    connection.execute(
        "create table staging.stg_relay__settings as select"
        " 'Partner Sync' as clevertap_event_name, 'a@b.example' as clevertap_list_email,"
        " 'Relay' as clevertap_list_creator, '[Amplitude][{name}]' as moengage_cohort_name_format,"
        " 5 as amplitude_min_id_length"
    )
    connection.execute(
        "create table staging.stg_relay__run as"
        " select timestamp '2026-03-01' as planned_at, false as retries_rejected"
    )
    connection.execute(
        "create table ledger.confirmed_keys (sync_name varchar, cohort_name varchar,"
        " key_type varchar, match_key varchar, key_value varchar, is_confirmed boolean,"
        " is_in_doubt boolean)"
    )
    connection.execute(
        "create table cohorts.desired_keys (sync_name varchar, key_type varchar, match_key varchar)"
    )
    connection.execute(
        "create table cohorts.suppressed_keys (sync_name varchar, cohort_name varchar,"
        " key_type varchar, match_key varchar)"
    )
    connection.execute(
        "create table fields.moengage_file_segments"
        " (sync_name varchar, column_name varchar, key_value varchar)"
    )
    return connection


@pytest.fixture
def seal(
    warehouse: DuckDBPyConnection, compiled_models: CompiledModels
) -> Callable[..., tuple[list[str], dict[str, str]]]:
    """Run payload models and seal what they give: request bodies, and every file by its role."""

    def run(
        *models: str, destination: str, kind: str = "cohort_sync", delivery: str | None = None
    ) -> tuple[list[str], dict[str, str]]:
        compiled_models.run(warehouse, models, given=compiled_models.names - set(models))
        table = models[-1].replace("__", ".")
        with tempfile.TemporaryDirectory() as folder:
            sealed = seal_sync(
                warehouse,
                Path(folder),
                name="s",
                kind=kind,
                destination=destination,
                delivery=delivery,
                payload=f"(select * from {table} where sync_name = 's')",
            )
            files = {
                file.role: Path(folder, file.path).read_bytes().decode("utf-8")
                for file in sealed.files
                if not file.path.endswith(".parquet")
            }
        return files["requests"].split("\n")[:-1], files

    return run


def changes(
    connection: DuckDBPyConnection, *, destination: str, delivery: str | None, **of_rows: list[Any]
) -> None:
    """What is owed: a row per key, with the segment's name."""
    rows = [
        dict(zip(of_rows, values, strict=True)) for values in zip(*of_rows.values(), strict=True)
    ]
    connection.execute(
        "create or replace table cohorts.membership_changes as select 's' as sync_name,"
        " 'c1' as cohort_id, ? as destination, ? as delivery, 'added' as action,"
        " 'entered' as reason, 2 as phase, false as is_parked, md5(key_value) as change_id,"
        " 'h' as payload_hash, ['p'] as person_ids, ['a'] as anchors, key_value as match_key, *"
        " from (select unnest(from_json(?::json, ?), max_depth := 2))",
        [destination, delivery, json.dumps(rows), json.dumps([dict.fromkeys(of_rows, "varchar")])],
    )


def column(text: str, name: str) -> list[str]:
    """One column of a CSV."""
    return [row[name] for row in csv.DictReader(io.StringIO(text, newline=""))]


@pytest.mark.parametrize("delivery", ["events", "profile_property", "custom_list"])
def test_clevertap(delivery: str, warehouse: DuckDBPyConnection, seal: Callable[..., Any]) -> None:
    @FEW
    @given(TEXTS, TEXT)
    def check(keys: list[str], name: str) -> None:
        kinds = ["identity" if number % 2 else "object_id" for number in range(len(keys))]
        changes(
            warehouse,
            destination="clevertap",
            delivery=delivery,
            key_type=kinds,
            key_value=keys,
            cohort_name=[name] * len(keys),
        )
        bodies, files = seal(
            "payloads__clevertap_cohort_changes", destination="clevertap", delivery=delivery
        )
        listed = zip(
            column(files["members_csv"], "Type"),
            column(files["members_csv"], "Identity"),
            strict=True,
        )
        letters = {"identity": "i", "object_id": "g"}
        assert sorted(listed) == sorted((letters[k], v) for k, v in zip(kinds, keys, strict=True))
        assert sorted(column(files["csv"], "key_value")) == sorted(keys)
        if delivery == "custom_list":
            (body,) = bodies
            assert json.loads(body)["name"] == name
            return
        records = [record for body in bodies for record in json.loads(body)["d"]]
        sent = sorted(
            ("identity", record["identity"])
            if "identity" in record
            else ("object_id", record["objectId"])
            for record in records
        )
        assert sent == sorted(zip(kinds, keys, strict=True))
        for record in records:
            if delivery == "events":
                assert record["evtData"]["Partner Segment Name"] == name
            else:
                assert record["profileData"] == {"Amplitude Cohorts": {"$add": [name]}}

    check()


def test_moengage(warehouse: DuckDBPyConnection, seal: Callable[..., Any]) -> None:
    @FEW
    @given(TEXTS, TEXT)
    def check(keys: list[str], name: str) -> None:
        changes(
            warehouse,
            destination="moengage",
            delivery=None,
            key_type=["user_id"] * len(keys),
            key_value=keys,
            cohort_name=[name] * len(keys),
        )
        bodies, files = seal("payloads__moengage_cohort_changes", destination="moengage")
        parameters = [json.loads(body)["parameters"] for body in bodies]
        uids = [member["uid"] for one in parameters for member in one["members"]]
        assert sorted(uids) == sorted(keys)
        assert sorted(column(files["added_csv"], "uid")) == sorted(keys)
        (segment,) = {one["cohort_name"] for one in parameters}
        # Only what MoEngage refuses in a name is another character in it.
        refused = set('|*?\\:<>=$"()') | {chr(number) for number in (*range(32), 127)}
        expected = "".join("-" if c in refused else c for c in name.strip(" "))
        if expected.startswith("."):
            expected = f"-{expected[1:]}"
        assert segment == f"[Amplitude][{expected}]"

    check()


def test_lytics_cohort_rows(warehouse: DuckDBPyConnection, seal: Callable[..., Any]) -> None:
    @FEW
    @given(TEXTS, TEXT, TEXT)
    def check(keys: list[str], name: str, value: str) -> None:
        columns = {"cohort_id": "c1", "cohort_name": name, "cohort_membership": True, value: value}
        warehouse.execute(
            "create or replace table fields.lytics_cohort_rows as select true as is_pending,"
            " md5(key) as row_id, '9223372036854775807' as amplitude_id, key as user_id,"
            " ?::json as stream_columns from (select unnest(?::varchar[]) as key)",
            [json.dumps(columns, ensure_ascii=False), keys],
        )
        warehouse.execute(
            "create or replace table fields.lytics_pending_changes as select 's' as sync_name,"
            " 'c1' as cohort_id, ? as cohort_name, 2 as phase, row_id as change_id,"
            " 'added' as action, 'entered' as reason, 'amplitude_user_id' as key_type,"
            " user_id as key_value, user_id as match_key, ['p'] as person_ids, ['a'] as anchors,"
            " 'h' as payload_hash from fields.lytics_cohort_rows",
            [name],
        )
        bodies, files = seal("payloads__lytics_cohorts", destination="lytics")
        rows = [row for body in bodies for row in json.loads(body)]
        ids = {"amplitude_id": "9223372036854775807"}
        assert sorted(row["user_id"] for row in rows) == sorted(keys)
        for row in rows:
            assert row == {**ids, "user_id": row["user_id"], **columns}
        assert sorted(column(files["added_csv"], "user_id")) == sorted(keys)
        assert set(column(files["added_csv"], "cohort_name")) == {name}

    check()


def test_amplitude(warehouse: DuckDBPyConnection, seal: Callable[..., Any]) -> None:
    @FEW
    @given(TEXTS, TEXTS)
    def check(ids: list[str], values: list[str]) -> None:
        warehouse.execute(
            "create or replace table events.addressed as select 's' as sync_name,"
            " 'moengage' as source, 'relay:' || md5(id) as event_id, 'Email Sent' as event_type,"
            " 'delivery' as event_kind, 'Email' as channel, false as is_history,"
            " 5 as min_id_length, id as user_id, id as device_id, 'p' as person_id,"
            " 'a' as anchor, [] as notes, null as drop_reason, null::varchar as outcome,"
            " null::varchar as rejected_payload_hash, null::timestamp as first_attempted_at,"
            " timestamp '2026-03-01 00:00:00.123' as event_at, 'f' as source_file, 1 as load_id"
            " from (select unnest(?::varchar[]) as id)",
            [ids],
        )
        warehouse.execute(
            "create or replace table events.properties as select event_id, value as property,"
            " to_json(value) as property_value from events.addressed,"
            " (select unnest(?::varchar[]) as value)",
            [values],
        )
        bodies, _ = seal(
            "events__rendered",
            "payloads__amplitude_events",
            destination="amplitude",
            kind="event_export",
        )
        events = [event for body in bodies for event in json.loads(body)["events"]]
        assert sorted(event["user_id"] for event in events) == sorted(ids)
        for event in events:
            assert event["device_id"] == event["user_id"]
            assert event["time"] == 1772323200123
            assert event["event_properties"] == {value: value for value in values}

    check()


def test_one_record_over_the_bytes_is_refused_by_its_key(
    warehouse: DuckDBPyConnection, seal: Callable[..., Any]
) -> None:
    changes(
        warehouse,
        destination="moengage",
        delivery=None,
        key_type=["user_id"],
        key_value=["u" * 130_000],
        cohort_name=["Cart"],
    )
    with pytest.raises(PlanError, match=r"the record of key 'uuu.* alone is 130"):
        seal("payloads__moengage_cohort_changes", destination="moengage")


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("cart-drop-off", "cart-drop-off"),
        ("Cart 🛒 drop\toff", "Cart-🛒-drop-off"),
        ("a/b\\c", "a-b-c"),
        ("nul\0, bell\x07, next\x85", "nul-,-bell?,-next-"),
        ("Zoë 日本語", "Zoë-日本語"),
    ],
)
def test_a_name_becomes_the_name_of_a_file_by_the_pages_rule(text: str, name: str) -> None:
    assert file_name_of(text) == name


def test_a_syncs_files_have_its_name_and_two_syncs_do_not_share_them(
    warehouse: DuckDBPyConnection, compiled_models: CompiledModels, tmp_path: Path
) -> None:
    """A sync of `all` cohorts has the cohort's id in its name, whatever that is."""
    changes(
        warehouse,
        destination="moengage",
        delivery=None,
        key_type=["user_id"],
        key_value=["ann"],
        cohort_name=["Cart"],
    )
    model = "payloads__moengage_cohort_changes"
    compiled_models.run(warehouse, [model], given=compiled_models.names - {model})

    def files_of(sync: str) -> set[str]:
        payload = (
            f"(select * replace ('{sync}' as sync_name) from payloads.moengage_cohort_changes)"
        )
        sealed = seal_sync(
            warehouse,
            tmp_path,
            name=sync,
            kind="cohort_sync",
            destination="moengage",
            delivery=None,
            payload=payload,
        )
        assert {file.sync for file in sealed.files} == {sync}
        return {file.path for file in sealed.files}

    kinds = ("requests.ndjson", "rows.parquet", "csv", "added.csv", "removed.csv")
    assert files_of("all-🛒/1") == {f"all-🛒-1.{kind}" for kind in kinds}
    with pytest.raises(PlanError, match="all-🛒 1: another sync has files of the same names"):
        files_of("all-🛒 1")
