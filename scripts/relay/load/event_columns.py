"""The 55 keys of Amplitude's event row: what each column holds, as SQL.

Two ways of reading give the same values. Almost every line is *ordinary*: it has a set of keys that
is known, each once, and each value in the form Amplitude writes it. `ordinary` is true for those,
and `value` is then all it takes. Every other line is *examined* key by key: `cell` gives a value in
its written form where its column holds it, and null where it does not, so that it goes to `extra`.

Both start from the same text: a JSON string as it is, anything else as its JSON.

Source: the object of Amplitude's Export API; times of its user data lookup page. Identifiers follow
step 1 of the identity rules' normalisation.
"""

from collections.abc import Iterable
from typing import Literal

Kind = Literal["text", "user", "amplitude", "integer", "number", "flag", "time", "json", "uuid"]

COLUMNS: dict[str, Kind] = {
    "$insert_id": "text",
    "$insert_key": "text",
    "$schema": "integer",
    "adid": "text",
    "amplitude_attribution_ids": "json",
    "amplitude_event_type": "text",
    "amplitude_id": "amplitude",
    "app": "integer",
    "city": "text",
    "client_event_time": "time",
    "client_upload_time": "time",
    "country": "text",
    "data": "json",
    "data_type": "text",
    "device_brand": "text",
    "device_carrier": "text",
    "device_family": "text",
    "device_id": "user",
    "device_manufacturer": "text",
    "device_model": "text",
    "device_type": "text",
    "dma": "text",
    "event_id": "integer",
    "event_properties": "json",
    "event_time": "time",
    "event_type": "text",
    "global_user_properties": "json",
    "group_properties": "json",
    "groups": "json",
    "idfa": "text",
    "ip_address": "text",
    "is_attribution_event": "flag",
    "language": "text",
    "library": "text",
    "location_lat": "number",
    "location_lng": "number",
    "os_name": "text",
    "os_version": "text",
    "partner_id": "text",
    "paying": "flag",
    "plan": "json",
    "platform": "text",
    "processed_time": "time",
    "region": "text",
    "sample_rate": "number",
    "server_received_time": "time",
    "server_upload_time": "time",
    "session_id": "integer",
    "source_id": "text",
    "start_version": "text",
    "user_creation_time": "time",
    "user_id": "user",
    "user_properties": "json",
    "uuid": "uuid",
    "version_name": "text",
}

TYPES: dict[Kind, str] = {
    "text": "varchar",
    "user": "varchar",
    "amplitude": "bigint",
    "integer": "bigint",
    "number": "double",
    "flag": "boolean",
    "time": "timestamp",
    "json": "json",
    "uuid": "uuid",
}

# A time as Amplitude writes it; the T is in other teams' files.
WRITTEN_TIME = r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d\.\d{6}"
# Any time that can be told: fewer or more digits, and a zone, which is then converted to UTC.
_READABLE_TIME = r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(?:\.\d{1,9})?(?: ?(?:Z|[+-]\d\d(?::?\d\d)?))?"
_ZONED_TIME = r".*\d(?: ?(?:Z|[+-]\d\d(?::?\d\d)?))"
# Text of a user or device id that may have been no string: a boolean, list, object or fraction.
_DOUBTFUL_ID = r"^(?:true$|false$|[\[{]|-?\d+(?:\.|[eE]))"
# What ID-3 strips from the ends of an identifier.
_STRIPPED = (
    r"[\x00-\x20\x7F-\x{A0}\x{1680}\x{2000}-\x{200D}\x{2028}\x{2029}\x{202F}\x{205F}\x{2060}"
    r"\x{3000}\x{FEFF}]+"
)


def quoted(name: str) -> str:
    """An SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """An SQL string."""
    return "'" + text.replace("'", "''") + "'"


def without_line_feed(content: str) -> str:
    """SQL: the bytes of a line, of type BLOB, without the line feed at its end."""
    return f"if({content}[-1:] = '\\x0A'::blob, {content}[:-2], {content})"


def structure() -> str:
    """What `json_transform` makes of a line: text for scalars, JSON for nested values."""
    fields = (
        f'"{name}":"{"JSON" if kind == "json" else "VARCHAR"}"' for name, kind in COLUMNS.items()
    )
    return literal("{" + ",".join(fields) + "}")


def value(name: str, text: str) -> str:
    """SQL: the value of a column out of its text, where the text is in its written form."""
    kind = COLUMNS[name]
    if kind == "flag":
        return f"({text} = 'true')"
    return text if kind in {"text", "user", "json"} else f"try_cast({text} as {TYPES[kind]})"


def ordinary(row: str) -> str:
    """SQL: whether every value of a struct `row` is in its written form and its column holds it."""
    integers = [f"{row}.{quoted(name)}" for name in _named("integer", "amplitude")]
    numbers = [f"{row}.{quoted(name)}" for name in _named("number")]
    times = [f"{row}.{quoted(name)}" for name in _named("time")]
    conditions = [
        f"translate(concat({', '.join(integers)}), '0123456789-', '') = ''",
        f"translate(concat({', '.join(numbers)}), '0123456789-+.eE', '') = ''",
        f"regexp_full_match(concat_ws('|', {', '.join(times)}), '(?:{WRITTEN_TIME}\\|?)*')",
        f"coalesce(try_cast({row}.amplitude_id as bigint) > 0, {row}.amplitude_id is null)",
        f"try_cast({row}.server_upload_time as timestamp) is not null",
        f"try_cast({row}.uuid as uuid) is not null",
    ]
    for name in _named("integer", "number", "time"):
        text = f"{row}.{quoted(name)}"
        conditions.append(f"({text} is null) = ({value(name, text)} is null)")
    for name in _named("flag"):
        conditions.append(f"coalesce({row}.{quoted(name)} in ('true', 'false'), true)")
    for name in _named("user"):
        doubtful = f"regexp_matches({row}.{quoted(name)}, {literal(_DOUBTFUL_ID)})"
        conditions.append(f"not coalesce({doubtful}, false)")
    return "\n    and ".join(conditions)


def cell(kind: str, json_type: str, json_value: str) -> str:
    """SQL: a value's text as its column takes it, or null where the column cannot hold it.

    Args:
        kind: SQL expression of the column's `Kind`.
        json_type: SQL expression of the JSON type, as `json_type` names it.
        json_value: SQL expression of the JSON value.
    """
    text = f"({json_value} ->> '$')"
    is_integer = f"{json_type} in ('BIGINT', 'UBIGINT')"
    whole = (
        f"if({json_type} = 'DOUBLE' and abs(try_cast({text} as double)) < 9007199254740992"
        f" and try_cast({text} as double) = trunc(try_cast({text} as double)),"
        f" cast(try_cast(try_cast({text} as double) as bigint) as varchar), null)"
    )
    stripped = f"regexp_replace(regexp_replace({text}, '^{_STRIPPED}', ''), '{_STRIPPED}$', '')"
    digits = f"regexp_extract({stripped}, '^0*([0-9]{{1,19}})(?:\\.0*)?$', 1)"
    time = (
        f"if(regexp_full_match({text}, {literal(_ZONED_TIME)}),"
        f" timezone('UTC', try_cast({text} as timestamptz)), try_cast({text} as timestamp))"
    )
    return f"""case
        when {json_type} = 'NULL' then null
        when {kind} = 'text' then {text}
        when {kind} = 'json' then cast({json_value} as varchar)
        when {kind} = 'user' then case
            when {json_type} = 'VARCHAR' or {is_integer} then {text}
            -- An integer beyond 64 bits keeps its digits.
            when {json_type} = 'DOUBLE' and regexp_full_match({text}, '-?\\d+') then {text}
            else {whole}
        end
        when {kind} = 'amplitude' then case
            when {json_type} = 'DOUBLE' then if(try_cast({whole} as bigint) > 0, {whole}, null)
            when {json_type} != 'VARCHAR' and not {is_integer} then null
            when try_cast({digits} as bigint) > 0 then {digits}
        end
        when {kind} = 'integer' then case
            when ({is_integer} or ({json_type} = 'VARCHAR' and regexp_full_match({text}, '-?\\d+')))
                and try_cast({text} as bigint) is not null then {text}
            else {whole}
        end
        when {kind} = 'number' then case
            when ({json_type} = 'DOUBLE' or {is_integer}
                or ({json_type} = 'VARCHAR' and regexp_full_match({text}, '[-+0-9.eE]+')))
                and isfinite(try_cast({text} as double)) then {text}
        end
        when {kind} = 'flag' then case
            when {json_type} in ('BOOLEAN', 'VARCHAR') and {text} in ('true', 'false') then {text}
        end
        when {kind} = 'time' then case
            when {json_type} = 'VARCHAR' and regexp_full_match({text}, {literal(_READABLE_TIME)})
                then cast({time} as varchar)
        end
        when {kind} = 'uuid' then case
            when {json_type} = 'VARCHAR' then cast(try_cast({text} as uuid) as varchar)
        end
    end"""


def kinds() -> str:
    """SQL: a `values` list of each column's name and kind."""
    return ", ".join(f"({literal(name)}, '{kind}')" for name, kind in COLUMNS.items())


def _named(*wanted: Kind) -> Iterable[str]:
    return [name for name, kind in COLUMNS.items() if kind in wanted]
