"""SQL expressions that read identifiers and times out of JSON, the same way wherever they stand.

The type of a JSON value is lost once it is text, so the first step of cleaning an identifier is
taken here, while reading; the rest (Unicode, white space, length) is `clean_text` in staging.
"""


def identifier(value: str) -> str:
    """SQL: an identifier's text out of a JSON value, or null where its type can be none.

    Text stays as it is; an integer is its decimal text, however large; a whole float below 2^53 is
    that integer. Any other float, a boolean, a list or an object is null.

    Args:
        value: SQL expression of type JSON.

    Source:
        reference identity rules, ID-3 step 1.
    """
    text = f"({value} ->> '$')"
    return (
        f"case when json_type({value}) in ('VARCHAR', 'BIGINT', 'UBIGINT') then {text}"
        f" when json_type({value}) != 'DOUBLE' then null"
        f" when regexp_full_match({text}, '-?[0-9]+') then {text}"
        f" when abs(try_cast({text} as double)) < 9007199254740992"
        f" and try_cast({text} as double) = trunc(try_cast({text} as double))"
        f" then cast(cast({text} as double)::bigint as varchar) end"
    )


def scalar(value: str) -> str:
    """SQL: the text of a JSON string or number; null for anything else."""
    return (
        f"case when json_type({value}) in ('VARCHAR', 'BIGINT', 'UBIGINT', 'DOUBLE')"
        f" then {value} ->> '$' end"
    )


def json_object(value: str) -> str:
    """SQL: a JSON value where it is an object; null for anything else."""
    return f"case when json_type({value}) = 'OBJECT' then {value} end"


def epoch_seconds(value: str) -> str:
    """SQL: the UTC timestamp of epoch seconds, a number or its text; null where it is none.

    Years 1 to 9999 are told apart from what is no time; whether a time is plausible is not asked.
    """
    seconds = f"try_cast({scalar(value)} as double)"
    return (
        f"case when {seconds} between -62135596800 and 253402300799"
        f" then make_timestamp(cast(round({seconds} * 1000000) as bigint)) end"
    )


def not_held(event: str, held: dict[str, str]) -> str:
    """SQL: what of a JSON object no column holds, as an object; null when nothing is left.

    Args:
        event: SQL expression of the object.
        held: For each key that has a column: SQL that is true where the column holds its value.
    """
    patch = " || ".join(
        f"case when {holds} then ',\"{key}\":null' else '' end" for key, holds in held.items()
    )
    rest = f"json_merge_patch({event}, cast('{{' || ltrim({patch}, ',') || '}}' as json))"
    return f"nullif(cast({rest} as varchar), '{{}}')"
