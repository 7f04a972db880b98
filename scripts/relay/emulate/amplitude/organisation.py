"""How the emulated Amplitude recognises people: ids, merges and user properties."""

import gzip
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import Any

FIRST_NEW_ID = 1_700_000_000_001
OPERATORS = (
    "$set",
    "$setOnce",
    "$add",
    "$append",
    "$prepend",
    "$preInsert",
    "$postInsert",
    "$remove",
    "$unset",
    "$clearAll",
)


@dataclass(frozen=True, slots=True)
class Merge:
    """One amplitude id absorbed by another, and when."""

    amplitude_id: int
    merged_amplitude_id: int
    at: datetime

    def document(self) -> dict[str, Any]:
        """The row of a merged-ids file; `scope` is the organisation's id."""
        millis = int(self.at.timestamp() * 1000)
        return {
            "scope": 1,
            "merge_time": millis,
            "merge_server_time": millis,
            "amplitude_id": self.amplitude_id,
            "merged_amplitude_id": self.merged_amplitude_id,
        }


class Organisation:
    """Devices, users and amplitude ids of one organisation, shared by its projects.

    Ids are assigned to events in the order they arrive: a known user id keeps its amplitude id and
    absorbs an anonymous one met on its device; the first user id on an anonymous device claims that
    device's id; a second user id on a claimed device gets a new one; an anonymous event belongs to
    the device's last id.
    """

    def __init__(self) -> None:
        self._of_user: dict[str, int] = {}
        self._of_device: dict[str, int] = {}
        self._claimed: set[int] = set()
        self._newest = FIRST_NEW_ID - 1
        self.merges: list[Merge] = []
        self.properties: dict[tuple[str, int], dict[str, Any]] = {}

    def assign(self, device: str, user: str | None, at: datetime) -> int:
        """The amplitude id of an event that arrives now."""
        held = self._of_device.get(device)
        if user is None:
            chosen = held or self._new_id()
        elif user in self._of_user:
            chosen = self._of_user[user]
            if held and held != chosen and held not in self._claimed:
                self.merges.append(Merge(held, chosen, at))
        elif held and held not in self._claimed:
            chosen = held
        else:
            chosen = self._new_id()
        if user is not None:
            self._of_user[user] = chosen
            self._claimed.add(chosen)
        self._of_device[device] = chosen
        return chosen

    def properties_of(self, project: str, user: str) -> dict[str, Any]:
        """The properties stored for a user id; empty for one that was never seen."""
        amplitude_id = self._of_user.get(user)
        return (
            {} if amplitude_id is None else dict(self.properties.get((project, amplitude_id), {}))
        )

    def learn(self, rows: list[bytes | Path]) -> None:
        """Take over what exported rows show, in this order; gzip members are read line by line."""
        for row in rows:
            if isinstance(row, bytes) and not row.startswith(b"\x1f\x8b"):
                self._learn_line(row)
                continue
            member = row.read_bytes() if isinstance(row, Path) else row
            for line in gzip.decompress(member).splitlines():
                self._learn_line(line)

    def _learn_line(self, line: bytes) -> None:
        try:
            row = json.loads(line)
        except ValueError:
            return  # a line that is broken on purpose teaches nothing
        amplitude_id = row.get("amplitude_id") if isinstance(row, dict) else None
        if type(amplitude_id) is not int:
            return
        self._newest = max(self._newest, amplitude_id)
        user, device = row.get("user_id"), row.get("device_id")
        if isinstance(user, str) and user:
            self._of_user.setdefault(user, amplitude_id)
            self._claimed.add(amplitude_id)
        if isinstance(device, str) and device:
            self._of_device[device] = amplitude_id

    def _new_id(self) -> int:
        self._newest += 1
        return self._newest


def operators(properties: Mapping[str, Any]) -> bool | None:
    """Whether these user properties are operators; None when both kinds are mixed."""
    used = [key in OPERATORS for key in properties]
    if any(used):
        return True if all(used) else None
    return False


def apply_operators(held: dict[str, Any], operations: Mapping[str, Any]) -> None:
    """Carry out the operators of an identify on the properties held."""
    for operator, values in operations.items():
        if operator == "$clearAll":
            held.clear()
            continue
        for name, value in values.items() if isinstance(values, dict) else ():
            _apply(held, operator, name, value)


def _apply(held: dict[str, Any], operator: str, name: str, value: Any) -> None:
    if operator == "$set":
        held[name] = value
    elif operator == "$setOnce":
        held.setdefault(name, value)
    elif operator == "$unset":
        held.pop(name, None)
    elif operator == "$add":
        before = held.get(name, 0)
        if type(value) in (int, float):
            held[name] = value + (before if type(before) in (int, float) else 0)
    else:
        held[name] = _list_operation(_as_list(held.get(name)), operator, _as_list(value))


def _list_operation(held: list[Any], operator: str, values: list[Any]) -> list[Any]:
    if operator == "$append":
        return held + values
    if operator == "$prepend":
        return values + held
    if operator == "$remove":
        return [one for one in held if one not in values]
    new = [one for one in values if one not in held]
    return new + held if operator == "$preInsert" else held + new


def _as_list(value: Any) -> list[Any]:
    if value is None:
        return []
    return list(value) if isinstance(value, list) else [value]


def write_merge_files(folder: Path, merges: list[Merge], *, organisation: str) -> list[Path]:
    """Write merges as a bucket destination does: `-{org}_2026-03-01_5.json.gz`, one an hour."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    ordered = sorted(merges, key=lambda merge: merge.at)
    for hour, group in groupby(ordered, key=lambda merge: merge.at.strftime("%Y-%m-%d %H")):
        moment = datetime.strptime(hour, "%Y-%m-%d %H").replace(tzinfo=UTC)
        path = folder / f"-{organisation}_{moment:%Y-%m-%d}_{moment.hour}.json.gz"
        rows = (json.dumps(merge.document(), separators=(",", ":")) + "\n" for merge in group)
        path.write_bytes(gzip.compress("".join(rows).encode(), 6, mtime=0))
        paths.append(path)
    return paths
