"""CleverTap's custom lists: sent whole, as a CSV each, with one call that says what it is.

A call's body stands in the plan without the address of the CSV, which CleverTap gives when it is
asked for one; `filename` names the file of the plan that goes there. A list that got another name
ends under the old one: two calls, the old list's first.
"""

from pathlib import Path

from duckdb import DuckDBPyConnection

from relay.durable import sync_file, writing
from relay.errors import PlanError
from relay.plan.requests import CutRows, Limits, bounded_memory

# Who is in a list once the sealed rows have gone: known before, less the removed, and the added.
# Somebody in doubt counts where they are to be in it; a suppressed one does not, whatever has come
# of the removal.
_LISTED = """
    with known as (
        select known.key_type, known.match_key, known.key_value, known.is_in_doubt
        from ledger.confirmed_keys as known
        anti join sealed_rows as moved
            on
                moved.cohort_name = $name
                and known.key_type = moved.key_type
                and known.match_key = moved.match_key
        anti join cohorts.suppressed_keys as suppressed
            on
                known.sync_name = suppressed.sync_name
                and known.cohort_name = suppressed.cohort_name
                and known.key_type = suppressed.key_type
                and known.match_key = suppressed.match_key
        where
            known.sync_name = $sync
            and known.cohort_name = $name
            and (known.is_confirmed or known.is_in_doubt)
    ),
    listed as (
        select key_type, key_value from sealed_rows where phase = 2 and cohort_name = $name
        union all
        select key_type, key_value from known where not is_in_doubt
        union all
        select known.key_type, known.key_value
        from known
        semi join cohorts.desired_keys as desired
            on
                desired.sync_name = $sync
                and desired.key_type = known.key_type
                and desired.match_key = known.match_key
        where known.is_in_doubt
    )
    select if(key_type = 'identity', 'i', 'g') as "Type", key_value as "Identity"
    from listed
    order by all
"""


def cut_lists(connection: DuckDBPyConnection, payload: str) -> CutRows:
    """One request a list, in the order of its rows.

    Raises:
        PlanError: The rows of a list do not stand together; the payload model's order is wrong.
    """
    lists = connection.execute(
        "select count(*), max(position) - min(position) + 1"
        f" from {payload} group by body_prefix order by min(position)"
    ).fetchall()
    if any(rows != places for rows, places in lists):
        raise PlanError(f"the rows of {payload} do not stand list by list")
    return CutRows(payload, "order by position", [rows for rows, _ in lists])


def write_list_calls(connection: DuckDBPyConnection, rows: CutRows, path: Path) -> int:
    """Write the body of each list's call, one a line; how many there are."""
    calls = connection.execute(
        f"select body_prefix from {rows.payload} group by body_prefix order by min(position)"
    ).fetchall()
    with writing(path) as file:
        file.write("".join(f"{call}\n" for (call,) in calls).encode())
    return len(calls)


def list_names(connection: DuckDBPyConnection) -> list[str]:
    """The names of the lists that `sealed_rows` is of, that of the last rows first."""
    names = connection.execute(
        "select cohort_name from sealed_rows group by cohort_name"
        " order by max((request, request_position)) desc"
    ).fetchall()
    return [str(name) for (name,) in names]


def list_file(sync: str, place: int) -> str:
    """The file of a sync's list: the first is the one that its segment goes by now."""
    return f"{sync}.members{'' if place == 1 else f'-{place}'}.csv"


def write_list(
    connection: DuckDBPyConnection, path: Path, *, sync: str, name: str, limits: Limits
) -> int:
    """Write a list as the CSV that CleverTap takes, `Type,Identity`; how many are in it.

    Args:
        connection: Open warehouse with the view `sealed_rows`.
        path: The file; it is there to stay when this returns.
        sync: The sync.
        name: The list's name.
        limits: Its `max_bytes` is what the file may have.

    Raises:
        PlanError: The file is larger than CleverTap takes.
    """
    target = str(path).replace("'", "''")
    query = _LISTED.replace("$sync", _literal(sync)).replace("$name", _literal(name))
    with bounded_memory(connection):
        ((members,),) = connection.execute(
            f"copy ({query}) to '{target}' (format csv, header true)"
        ).fetchall()
    sync_file(path)
    size = path.stat().st_size
    if limits.max_bytes is not None and size > limits.max_bytes:
        raise PlanError(
            f"the list {name!r} of {sync} is {size} bytes, CleverTap takes {limits.max_bytes};"
            " send the cohort by delivery: events"
        )
    return int(members)


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
