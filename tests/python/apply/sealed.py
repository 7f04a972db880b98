"""Made-up sealed plans: as sealing writes them, from a few numbers."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet

from relay.durable import sha256_of
from relay.plan.manifest import Plan, PlanFile, PlanSync, canonical_json, manifest_of, read_plan
from relay.settings import Home, Settings, load_settings

SENDS: dict[str, dict[str, Any]] = {
    "clevertap": {"method": "POST", "path": "/1/upload", "query": {}},
    "custom_list": {"method": "POST", "path": "/upload_custom_list_segment_completed", "query": {}},
    "moengage": {"method": "POST", "path": "/v1/integrations/cohortsync", "query": {}},
    "lytics": {
        "method": "POST",
        "path": "/collect/json/amplitude_cohorts",
        "query": {"timestamp_field": "synced_at"},
    },
    "event_import": {
        "method": "POST",
        "path": "/collect/json/amplitude_events",
        "query": {"timestamp_field": "event_time"},
    },
    "amplitude": {"method": "POST", "path": "/batch", "query": {}},
    "identify": {"method": "POST", "path": "/identify", "query": {}},
}
KEYS = {
    "AMPLITUDE_API_KEY": "planted-amplitude-key",
    "CLEVERTAP_ACCOUNT_ID": "ACC-1",
    "CLEVERTAP_PASSCODE": "planted-passcode",
    "MOENGAGE_WORKSPACE_ID": "WORKSPACE",
    "MOENGAGE_API_KEY": "planted-moengage-key",
    "LYTICS_API_TOKEN": "planted-lytics-token",
    "AMPLITUDE_INGEST_URL": "https://amplitude.test",
    "CLEVERTAP_API_URL": "https://clevertap.test",
    "MOENGAGE_API_URL": "https://moengage.test",
    "LYTICS_API_URL": "https://lytics.test",
    "LYTICS_BULK_URL": "https://bulk.lytics.test",
    "RELAY_NOW": "2026-03-02T12:00:00Z",
}
SECRETS = [value for value in KEYS.values() if value.startswith("planted")]


def settings_in(folder: Path, **environment: str) -> Settings:
    """Settings of a home in `folder`, with made-up keys."""
    return load_settings(folder, environ=KEYS | environment)


@dataclass(frozen=True)
class Sync:
    """A sync to seal: `requests` gives phase and number of rows of each request."""

    name: str
    destination: str
    requests: Sequence[tuple[int, int]]
    kind: str = "cohort_sync"
    delivery: str | None = None
    state: str = "ready"
    on_unknown: str = "hold"
    ledger_seq: int = 0
    send: Mapping[str, Any] = field(default_factory=dict)


def key_of(sync: str, request: int, position: int) -> str:
    """The key of a row."""
    return f"{sync}-user-{request}-{position}"


def record_of(sync: Sync, request: int, position: int) -> dict[str, Any]:
    """One record, in its vendor's form."""
    key = key_of(sync.name, request, position)
    action = "Removed" if sync.requests[request - 1][0] == 1 else "Added"
    if sync.destination == "clevertap":
        return {
            "type": "event",
            "identity": key,
            "ts": 1772452800,
            "evtName": "Partner Sync",
            "evtData": {"Action": action, "Partner Segment ID": "c1", "Note": "Køb 🛒"},
        }
    if sync.destination == "moengage":
        return {"uid": key}
    if sync.delivery == "identify":
        return {"user_id": key, "user_properties": {"$set": {"CleverTap_Identity": f"ct-{key}"}}}
    if sync.kind == "event_import":
        return {
            "user_id": key,
            "$insert_id": key,
            "event_type": "Song Played",
            "event_time": "2026-03-02 11:00:00.000000",
        }
    if sync.destination == "lytics":
        return {
            "user_id": key,
            "cohort_id": "c1",
            "cohort_name": "Cart",
            "cohort_membership": action == "Added",
            "synced_at": "2026-03-02T12:00:00Z",
        }
    return {
        "user_id": key,
        "device_id": f"device-{position}",
        "event_type": "Notification Viewed",
        "time": 1772452800000,
        "insert_id": f"relay:{key}",
    }


def body_of(sync: Sync, request: int) -> str:
    """One request's exact body."""
    phase, rows = sync.requests[request - 1]
    records = [record_of(sync, request, position) for position in range(rows)]
    if sync.delivery == "custom_list":
        file = f"{sync.name}.members.csv"
        document: Any = {"name": "Cart", "email": "a@b.test", "filename": file}
        return json.dumps(document | {"creator": "relay", "replace": True})
    if sync.destination == "clevertap":
        document = {"d": records}
    elif sync.destination == "moengage":
        action = "remove_members" if phase == 1 else "add_members"
        parameters = {"cohort_name": "Cart", "cohort_id": "c1", "members": records}
        document = {"action": action, "partner": "Amplitude", "parameters": parameters}
    elif sync.destination == "amplitude" and sync.delivery != "identify":
        document = {"events": records, "options": {"min_id_length": 5}}
    else:
        document = records
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"))


def seal(home: Home, syncs: Sequence[Sync], *, kind: str = "sync", minute: int = 0) -> Plan:
    """Write a plan as sealing does, and read it back."""
    folder = home.outbox / f".sealing-{minute}"
    folder.mkdir(parents=True)
    files: list[PlanFile] = []
    for sync in syncs:
        if sync.requests:
            files += _files(folder, sync)
    entries = [
        PlanSync(
            name=sync.name,
            kind=sync.kind,
            destination=sync.destination,
            delivery=sync.delivery,
            cohort_id="c1",
            cohort_name="Cart",
            snapshot_id="s1",
            ledger_seq=sync.ledger_seq,
            state=sync.state,
            reason="would remove 812 of 900" if sync.state == "held" else None,
            on_unknown=sync.on_unknown,
        )
        for sync in syncs
    ]
    manifest = manifest_of(
        kind=kind,
        created_at=f"2026-03-02T12:{minute:02}:00Z",
        undoes=None,
        syncs=entries,
        files=files,
        suppress_sha256=None,
    )
    (folder / "manifest.json").write_bytes(canonical_json(manifest))
    home.ledger.mkdir(exist_ok=True)
    (home.ledger / f"{manifest['plan_id']}.ndjson").touch()
    folder.rename(home.outbox / manifest["plan_id"])
    return read_plan(home, manifest["plan_id"])


def _files(folder: Path, sync: Sync) -> list[PlanFile]:
    total = sum(rows for _, rows in sync.requests)
    content_type = "application/json"
    usual = SENDS.get(sync.delivery or sync.kind, SENDS[sync.destination])
    send = {**usual, **sync.send}
    bodies = folder / f"{sync.name}.requests.ndjson"
    texts = [body_of(sync, number) for number in range(1, len(sync.requests) + 1)]
    bodies.write_text("".join(text + "\n" for text in texts), encoding="utf-8")
    rows = folder / f"{sync.name}.rows.parquet"
    values = [
        {
            "change_id": key_of(sync.name, number, position),
            "request": number,
            "position": position,
            "phase": phase,
            "action": "removed" if phase == 1 else "added",
            "key_value": key_of(sync.name, number, position),
        }
        for number, (phase, count) in enumerate(sync.requests, start=1)
        for position in range(count)
    ]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(values), rows)
    found = [
        _file(bodies, sync, "requests", total, send | {"content_type": content_type}),
        _file(rows, sync, "rows", total, None),
    ]
    if sync.delivery == "custom_list":
        members = folder / f"{sync.name}.members.csv"
        lines = [f"i,{value['key_value']}" for value in values if value["phase"] == 2]
        members.write_text("\n".join(["Type,Identity", *lines]) + "\n")
        found.append(_file(members, sync, "members_csv", len(lines), None))
    return found


def _file(path: Path, sync: Sync, role: str, rows: int, send: dict[str, Any] | None) -> PlanFile:
    return PlanFile(
        sync=sync.name,
        role=role,
        path=path.name,
        sha256=sha256_of(path),
        rows=rows,
        requests=len(sync.requests) if role == "requests" else 0,
        bytes=path.stat().st_size,
        send=send,
    )
