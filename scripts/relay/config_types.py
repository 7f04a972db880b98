"""The types of single values in syncs.yml: each says what was expected where a value is not right.

A type checks one value alone. What ties values together is in `config`.
"""

import re
from datetime import date
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import available_timezones

from pydantic import AfterValidator, BeforeValidator, Field, StrictInt, StrictStr, ValidationInfo
from pydantic_core import PydanticCustomError

EVERY_HOURS = re.compile(r"every_([0-9]{1,2})_hours")

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,99}")
# `<sync>.added.csv` is a file of the sync itself: another sync may not be called so.
_TAKEN_ENDING = re.compile(r"\.(added|removed|anonymous|members(-[0-9]+)?|requests|rows)$")


def _problem(text: str) -> PydanticCustomError:
    # Braces are the library's own place holders: the text goes in as one of them.
    return PydanticCustomError("relay", "{text}", {"text": text})


def _check_name(value: str) -> str:
    if not _NAME.fullmatch(value):
        raise _problem(
            "expected a name that can be a file name: small letters, digits, `.`, `_` and `-`, "
            "a letter or digit first, at most 100 characters"
        )
    ending = _TAKEN_ENDING.search(value)
    if ending:
        raise _problem(f"a name may not end in {ending[0]}: a plan's files end so")
    return value


def _check_text(value: str) -> str:
    if not value or value != value.strip():
        raise _problem("expected text that is not empty, without spaces at its ends")
    return value


@cache
def time_zones() -> set[str]:
    """All of them; finding them reads hundreds of files."""
    return available_timezones()


def _check_time_zone(value: str) -> str:
    if value not in time_zones():
        raise _problem("expected a time zone of the IANA data base, such as Asia/Kolkata or UTC")
    return value


def _check_time_of_day(value: str) -> str:
    if not re.fullmatch(r"([01][0-9]|2[0-3]):[0-5][0-9]", value):
        raise _problem('expected a time of day in quotes, "00:00" to "23:59"')
    return value


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def _check_distinct(values: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(values)) < len(values):
        raise _problem("expected each name once")
    return values


def _check_date(value: Any) -> date:
    # YAML reads 2026-01-01 as a date by itself; in quotes it is text.
    if type(value) is date:
        return value
    if isinstance(value, str):
        try:
            return date.fromisoformat(value)
        except ValueError:
            pass
    raise _problem("expected a date such as 2026-01-31")


def _check_own_file(value: Any, info: ValidationInfo) -> Path:
    if not isinstance(value, str | Path) or not str(value):
        raise _problem("expected the path of a CSV file, from the folder of syncs.yml")
    folder: Path = (info.context or {}).get("folder", Path())
    path = folder / value
    if not path.is_file():
        raise _problem(f"no such file: {path}")
    return path


def _check_email(value: str) -> str:
    if not re.fullmatch(r"[^@\s]+@[^@\s]+", value):
        raise _problem("expected an e-mail address")
    return value


def _check_word(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", value):
        raise _problem("expected letters, digits, `_`, `.` and `-`, not `.` or `-` first")
    return value


def _check_cohort_name_format(value: str) -> str:
    around = value.replace("{name}", "", 1)
    if "{name}" not in value or value.startswith(".") or set(around) & set('{}|*?\\:<>=$"'):
        raise _problem(
            "expected text with {name} once, no full stop first and none of "
            '| * ? \\ : < > = $ " (MoEngage refuses them)'
        )
    return value


def _check_export_frequency(value: str) -> str:
    hours = EVERY_HOURS.fullmatch(value)
    if value in {"one_time", "streaming"} or (hours and 4 <= int(hours[1]) <= 24):
        return value
    raise _problem(
        "expected one_time, every_4_hours … every_24_hours (whole hours), "
        "or for moengage also streaming"
    )


def _check_events(value: Any) -> Any:
    if value in ("engagement", "all"):
        return value
    if isinstance(value, list) and value and all(isinstance(v, str) and v for v in value):
        return tuple(value)
    raise _problem("expected engagement, all, or a list of event names")


def _check_event_name(value: str) -> str:
    if len(value) > 120 or set(value) & set("%><!|&.:;$'\"\\"):
        raise _problem(
            "expected at most 120 characters and none of % > < ! | & . : ; $ ' \" \\ "
            "(CleverTap refuses them)"
        )
    return value


Name = Annotated[StrictStr, AfterValidator(_check_name)]
Text = Annotated[StrictStr, AfterValidator(_check_text)]
TimeZone = Annotated[StrictStr, AfterValidator(_check_time_zone)]
TimeOfDay = Annotated[StrictStr, AfterValidator(_check_time_of_day)]
TextList = Annotated[tuple[Text, ...], BeforeValidator(_as_list), AfterValidator(_check_distinct)]
Day = Annotated[date, BeforeValidator(_check_date)]
OwnFile = Annotated[Path, BeforeValidator(_check_own_file)]
Word = Annotated[StrictStr, AfterValidator(_check_word)]
ExportFrequency = Annotated[StrictStr, AfterValidator(_check_export_frequency)]
Events = Annotated[Literal["engagement", "all"] | tuple[str, ...], BeforeValidator(_check_events)]
CohortNameFormat = Annotated[StrictStr, AfterValidator(_check_cohort_name_format)]
EmailAddress = Annotated[Text, AfterValidator(_check_email)]
EventName = Annotated[Text, AfterValidator(_check_event_name)]
Percent = Annotated[float, Field(strict=True, ge=0, allow_inf_nan=False)]
Count = Annotated[StrictInt, Field(ge=0)]
Positive = Annotated[StrictInt, Field(ge=1)]
