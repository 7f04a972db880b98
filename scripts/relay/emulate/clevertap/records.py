"""The verdict of CleverTap's upload on one record: accepted, or one code and its text."""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from relay.emulate.clevertap.switches import ClevertapSwitches

Refusal = tuple[int, str]

IDENTITY_KEYS = ("identity", "objectId", "FBID", "GPID")
PARTNER_SYNC = "partnersync"

# Documented reserved names, and one that a recorded answer refuses.
RESERVED_EVENTS = (
    "Notification Sent",
    "Notification Viewed",
    "Notification Clicked",
    "Notification Delivered",
    "Notification Replied",
    "UTM Visited",
    "App Launched",
    "App Uninstalled",
    "App Version Changed",
    "Stayed",
    "Reply Sent",
    "Experiment Rendered",
    "Reachable By",
    "Identity Reset",
    "Identity Set",
    "Identity Error",
    "wzrk_d",
    "Notification Bounced",
    "Geocluster Entered",
    "Geocluster Exited",
    "SCOutgoing",
    "SCIncoming",
    "SCEnd",
    "SCCampaignOptOut",
    "Web Page Viewed",
)
TOKEN_TYPES = frozenset({"chrome", "fcm", "gcm", "apns", "wns", "mpns"})

_OBJECT_ID = re.compile(r"[A-Za-z0-9()!:@$_\-=|<>;+.]{1,64}")
_NOTHING: tuple[Any, ...] = (None, "")
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")
_PHONE = re.compile(r"\+\d{8,15}")
_NEWEST_TS = 9_999_999_999


def same_event(name: str) -> str:
    """The form in which two event names are one: case and spaces do not count."""
    return name.replace(" ", "").lower()


_RESERVED = frozenset(same_event(name) for name in RESERVED_EVENTS)


def verdict(record: Any, switches: ClevertapSwitches) -> Refusal | None:
    """The first thing wrong with a record, in the order of the emulator's recipe; None if nothing.

    The texts of 509, 513, 515 to 520 and 525 are recorded ones (without the record's number); the
    others are made after them.
    """
    if not isinstance(record, dict):
        return 524, "Type is incorrect. ErrorCode: 524 - Type should be event or profile. "
    kind = record.get("type")
    if kind == "event":
        return _who(record) or _when(record) or _event(record, switches)
    if kind == "profile":
        return _who(record) or _when(record) or _profile(record)
    if kind == "token":
        return _token(record)
    return 524, "Type is incorrect. ErrorCode: 524 - Type should be event or profile. "


def _who(record: Mapping[str, Any]) -> Refusal | None:
    values = [value for key in IDENTITY_KEYS if (value := record.get(key)) not in _NOTHING]
    if len(values) != 1 or not isinstance(values[0], str):
        return 523, "Identity is missing. ErrorCode: 523 - No identity in the record. "
    object_id = record.get("objectId")
    if isinstance(object_id, str) and object_id and not _OBJECT_ID.fullmatch(object_id):
        return 526, "Object Id is incorrect. ErrorCode: 526 - Object id is not valid. "
    return None


def _when(record: Mapping[str, Any]) -> Refusal | None:
    if "ts" not in record:
        return None
    ts = record["ts"]
    if type(ts) is int and 0 < ts <= _NEWEST_TS:
        return None
    return 525, "Timestamp should be present in the Unix Epoch format. "


def _event(record: Mapping[str, Any], switches: ClevertapSwitches) -> Refusal | None:
    name = record.get("evtName")
    if not isinstance(name, str) or not name.strip():
        return 509, "Event Name is incorrect. ErrorCode: 509 - Event name is mandatory. "
    same = same_event(name)
    if (
        same in _RESERVED
        or (same == PARTNER_SYNC and switches.partner_sync_restricted)
        or (switches.restricted_events and same in map(same_event, switches.restricted_events))
    ):
        return 513, (
            "Event Name is incorrect. ErrorCode: 513 - Trying to raise a restricted system event. "
        )
    if switches.discarded_events and same in map(same_event, switches.discarded_events):
        return 528, "Event Name is incorrect. ErrorCode: 528 - Event is discarded. "
    data = record.get("evtData")
    if not isinstance(data, dict):
        return 512, "Event Data is incorrect. ErrorCode: 512 - Event structure is not valid. "
    for key, value in data.items():
        if value is None or isinstance(value, (dict, list)):
            if name == "Charged" and key == "Items" and _flat_objects(value):
                continue
            return 512, "Event Data is incorrect. ErrorCode: 512 - Event structure is not valid. "
    if len(data) > switches.max_event_properties:
        return 522, "Event Data is incorrect. ErrorCode: 522 - Too many event properties. "
    return None


def _flat_objects(value: Any) -> bool:
    return isinstance(value, list) and all(
        isinstance(item, dict)
        and not any(isinstance(inner, (dict, list)) for inner in item.values())
        for item in value
    )


def _profile(record: Mapping[str, Any]) -> Refusal | None:
    data = record.get("profileData")
    if not isinstance(data, dict):
        return 512, "Profile data is incorrect. Profile structure is not valid."
    if "Email" in data and not (isinstance(data["Email"], str) and _EMAIL.fullmatch(data["Email"])):
        return 515, "Profile data is incorrect. Email is not valid."
    if "Phone" in data and not (isinstance(data["Phone"], str) and _PHONE.fullmatch(data["Phone"])):
        return 516, "Profile data is incorrect. Phone number is not valid."
    for key, allowed, code, text in _CHOICES:
        if key in data and data[key] not in allowed:
            return code, f"Profile data is incorrect. {text}"
    age = data.get("Age")
    if "Age" in data and (isinstance(age, bool) or not re.fullmatch(r"\d{1,3}", str(age))):
        return 520, "Profile data is incorrect. Age is invalid."
    return None


_CHOICES: tuple[tuple[str, tuple[str, ...], int, str], ...] = (
    ("Gender", ("M", "F"), 514, "Gender needs to be M/F."),
    ("Employed", ("Y", "N"), 517, "Employed needs to be Y/N."),
    (
        "Education",
        ("School", "College", "Graduate"),
        518,
        "Education needs to be School/College/Graduate..",
    ),
    ("Married", ("Y", "N"), 519, "Married needs to be Y/N."),
)


def _token(record: Mapping[str, Any]) -> Refusal | None:
    object_id, data = record.get("objectId"), record.get("tokenData")
    if not isinstance(object_id, str) or not _OBJECT_ID.fullmatch(object_id):
        return 530, "Object Id is incorrect. ErrorCode: 530 - Object id is not valid. "
    if not isinstance(data, dict) or not data.get("id"):
        return 532, "Token is incorrect. ErrorCode: 532 - Token id is missing. "
    if not data.get("type"):
        return 533, "Token is incorrect. ErrorCode: 533 - Token type is missing. "
    if data["type"] not in TOKEN_TYPES:
        return 534, "Token is incorrect. ErrorCode: 534 - Token type is not valid. "
    return None


KEY_BYTES = 120
VALUE_BYTES = 512
SHORT_ENOUGH = VALUE_BYTES // 4  # characters that never make more bytes than that
_FORBIDDEN = re.compile(r"""[%><!|&.:;$'"\\]""")


def doubts(record: Mapping[str, Any]) -> list[str]:
    """What the documentation forbids in an accepted record but no code answers for.

    Over-long keys and values, forbidden characters, unknown keys: whether the service refuses or
    cuts them is UNVERIFIED, so a test has to look at the list of warnings.
    """
    kind = record["type"]
    known = _TOKEN_KEYS if kind == "token" else _KNOWN
    found = [f"unknown key {key}" for key in record if key not in known]
    if kind == "event":
        found += _doubts_of_name(record["evtName"])
    data = record.get("evtData") or record.get("profileData") or {}
    for key, value in data.items():
        found += _doubts_of_key(key, kind)
        if type(value) is str and len(value) > SHORT_ENOUGH and len(value.encode()) > VALUE_BYTES:
            found.append(f"value of {key} over 512 bytes")
    return found


@lru_cache(maxsize=4_096)
def _doubts_of_name(name: str) -> tuple[str, ...]:
    if len(name) > KEY_BYTES or _FORBIDDEN.search(name):
        return ("event name too long or with forbidden characters",)
    return ()


@lru_cache(maxsize=4_096)
def _doubts_of_key(key: str, kind: str) -> tuple[str, ...]:
    found: tuple[str, ...] = ()
    if len(key.encode()) > KEY_BYTES:
        found += ("key over 120 bytes",)
    if _FORBIDDEN.search(key) or (kind == "profile" and "#" in key):
        found += (f"forbidden character in key {key}",)
    return found


_KNOWN = frozenset({"type", "ts", "evtName", "evtData", "profileData", "source", *IDENTITY_KEYS})
_TOKEN_KEYS = frozenset({"type", "tokenData", "objectId"})
