"""CleverTap's custom-list segments: ask for an address, put the CSV there, say it is complete."""

import csv
import io
from dataclasses import dataclass
from typing import Any

from relay.emulate.clevertap.profiles import Key, Memory
from relay.emulate.clevertap.switches import ClevertapSwitches
from relay.emulate.exchange import Answer, Call, Refuse, read_json
from relay.emulate.files import Files

TYPES = {"i": "identity", "g": "object_id"}
REQUIRED = {"name": str, "email": str, "filename": str, "creator": str, "url": str, "replace": bool}


@dataclass(slots=True)
class CustomList:
    """One custom-list segment.

    Attributes:
        members: Profile number → the key it was listed under.
        unknown: Listed keys that led to no profile; the service drops them silently.
        uploads: How often a file was taken in.
    """

    segment_id: int
    name: str
    members: dict[int, Key]
    unknown: int
    uploads: int

    def document(self) -> dict[str, Any]:
        """The segment as JSON."""
        keys = [{"key_type": kind, "key_value": value} for kind, value in self.members.values()]
        return {
            "segment_id": self.segment_id,
            "name": self.name,
            "members": keys,
            "unknown": self.unknown,
            "uploads": self.uploads,
        }


class CustomLists:
    """The custom lists of one account, by name."""

    def __init__(self, memory: Memory, files: Files, switches: ClevertapSwitches) -> None:
        self._memory = memory
        self._files = files
        self._switches = switches
        self.lists: dict[str, CustomList] = {}

    def address(self) -> Answer:
        """`POST /get_custom_list_segment_url`: where to put the CSV."""
        url = self._files.to_write("clevertap", seconds=self._switches.list_link_seconds)
        return Answer.of({"status": "success", "presignedS3URL": url})

    def complete(self, call: Call, refuse: Refuse) -> Answer:
        """`POST /upload_custom_list_segment_completed`: take the CSV in.

        What the service answers to a wrong call is UNVERIFIED; here it is `fail` with 400. Without
        `replace` a name that exists is refused (UNVERIFIED as well).
        """
        try:
            document = read_json(call.body)
        except ValueError:
            return refuse(400, "Malformed request")
        if not isinstance(document, dict) or not all(
            isinstance(document.get(name), kind) for name, kind in REQUIRED.items()
        ):
            return refuse(400, "Malformed request")
        try:
            body = self._files.written(document["url"])
        except KeyError:
            return refuse(400, "The URL is not valid")
        if body is None:
            return refuse(400, "No file was uploaded")
        if len(body) > self._switches.list_max_bytes:
            return refuse(400, "The file is too large")
        keys = read_list(body)
        if keys is None:
            return refuse(400, "The file is not valid: two columns, Type and Identity")
        held = self.lists.get(document["name"])
        if held is not None and not document["replace"]:
            return refuse(400, "A segment with this name exists")
        if held is None:
            held = CustomList(len(self.lists) + 1, document["name"], {}, 0, 0)
            self.lists[held.name] = held
        held.members, held.unknown = {}, 0
        held.uploads += 1
        for key in keys:
            profile = self._memory.find(key)
            if profile is None:
                held.unknown += 1
            else:
                held.members[profile.number] = key
        return Answer.of({"status": "success", "Segment ID": held.segment_id})


def read_list(body: bytes) -> list[Key] | None:
    """The keys of a custom-list CSV; None when it is not one."""
    try:
        rows = list(csv.reader(io.StringIO(body.decode("utf-8"), newline=""), strict=True))
    except (UnicodeDecodeError, csv.Error):
        return None
    if not rows or [cell.lower() for cell in rows[0]] != ["type", "identity"]:
        return None
    keys: list[Key] = []
    for row in rows[1:]:
        if len(row) != 2 or row[0] not in TYPES or not row[1]:
            return None
        keys.append((TYPES[row[0]], row[1]))
    return keys
