"""What Amplitude's HTTP V2 and Batch APIs refuse in an event."""

import re
from collections.abc import Callable, Mapping
from typing import Any

# Answered with 400; compared without case.
INVALID_IDS = frozenset(
    {"anonymous", "nil", "none", "null", "n/a", "na", "undefined", "unknown", "", "lmy47d"}
    | {"0", "-1", "{}", '""', "00000000-0000-0000-0000-000000000000"}
)
DEEPEST = 40
GROUP_TYPES = 5
GROUP_VALUES = 10
TEXT_CHARACTERS = 1024

_ZEROES = re.compile(r"[0-]+")
_CURRENCY = re.compile(r"[A-Z]{3}")

Problems = dict[str, dict[str, list[int]]]
MISSING = "events_with_missing_fields"
INVALID = "events_with_invalid_fields"
LENGTHS = "events_with_invalid_id_lengths"


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_int(value: Any) -> bool:
    return type(value) is int


def _is_number(value: Any) -> bool:
    return type(value) in (int, float)


def _is_object(value: Any) -> bool:
    return isinstance(value, dict) and depth(value) <= DEEPEST


def _is_flag(value: Any) -> bool:
    return isinstance(value, bool)


def _is_currency(value: Any) -> bool:
    return isinstance(value, str) and _CURRENCY.fullmatch(value) is not None


# Every key of the two pages but the ids and the event type, with its type.
FIELDS: dict[str, Callable[[Any], bool]] = {
    "time": lambda value: type(value) is int and value > 0,
    **dict.fromkeys(
        ("event_properties", "user_properties", "groups", "group_properties", "plan"), _is_object
    ),
    "ingestion_metadata": _is_object,
    **dict.fromkeys(("price", "revenue", "location_lat", "location_lng"), _is_number),
    **dict.fromkeys(("quantity", "event_id", "session_id"), _is_int),
    "currency": _is_currency,
    "$skip_user_properties_sync": _is_flag,
    **dict.fromkeys(
        (
            "user_agent",
            "app_version",
            "platform",
            "os_name",
            "os_version",
            "device_brand",
            "device_manufacturer",
            "device_model",
            "carrier",
            "country",
            "region",
            "city",
            "dma",
            "language",
            "productId",
            "revenueType",
            "ip",
            "idfa",
            "idfv",
            "adid",
            "android_id",
            "android_app_set_id",
            "insert_id",
            "partner_id",
            "library",
            "version_name",
        ),
        _is_text,
    ),
}
KNOWN = frozenset({"user_id", "device_id", "event_type", *FIELDS})


def problems_of(
    events: list[Any], *, shortest_id: int, drop_short_ids: bool
) -> tuple[Problems, list[str]]:
    """What is wrong with the events of a request, by kind, field and index; and odd keys.

    Args:
        events: The request's list; each a JSON object.
        shortest_id: Characters an id needs at least.
        drop_short_ids: Take a short id out of its event instead of reporting it; an event left
            without any is reported.
    """
    found: Problems = {MISSING: {}, INVALID: {}, LENGTHS: {}}
    odd: list[str] = []
    for index, event in enumerate(events):
        _check_ids(event, index, found, shortest_id, drop_short_ids)
        kind = event.get("event_type")
        if kind is None:
            _add(found[MISSING], "event_type", index)
        elif not isinstance(kind, str) or not kind:
            _add(found[INVALID], "event_type", index)
        for key, value in event.items():
            check = FIELDS.get(key)
            if check is not None:
                if value is not None and not check(value):
                    _add(found[INVALID], key, index)
            elif key not in KNOWN:
                odd.append(key)
    return {kind: fields for kind, fields in found.items() if fields}, odd


def _check_ids(
    event: dict[str, Any], index: int, found: Problems, shortest: int, drop_short: bool
) -> None:
    left = 0
    for name in ("user_id", "device_id"):
        value = event.get(name)
        if value is None:
            continue
        text = str(value) if type(value) is int else value
        if not isinstance(text, str) or is_invalid_id(text, name):
            _add(found[INVALID], name, index)
        elif len(text) >= shortest:
            left += 1
            continue
        elif drop_short:
            del event[name]
            continue
        else:
            _add(found[LENGTHS], name, index)
        left += 1
    if not left:
        _add(found[MISSING], "user_id", index)


def is_invalid_id(text: str, name: str) -> bool:
    """Whether an id is one of the values that are refused, or a device of zeroes."""
    if text.strip().lower() in INVALID_IDS:
        return True
    return name == "device_id" and _ZEROES.fullmatch(text) is not None


def depth(value: Any) -> int:
    """How deep objects and lists are nested; a flat object is 1."""
    level, found = [value], 0
    while level := [one for one in level if isinstance(one, (dict, list))]:
        found += 1
        level = [
            one for held in level for one in (held.values() if isinstance(held, dict) else held)
        ]
    return found


def cut(value: Any) -> Any:
    """The value with every text cut at 1,024 characters: too long is no error."""
    if isinstance(value, str):
        return value[:TEXT_CHARACTERS]
    if isinstance(value, dict):
        return {key: cut(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [cut(inner) for inner in value]
    return value


def fewer_groups(groups: Mapping[str, Any]) -> dict[str, Any]:
    """At most five group types and ten values of each; the rest is ignored."""
    return {
        kind: value[:GROUP_VALUES] if isinstance(value, list) else [value]
        for kind, value in list(groups.items())[:GROUP_TYPES]
    }


def _add(fields: dict[str, list[int]], name: str, index: int) -> None:
    fields.setdefault(name, []).append(index)
