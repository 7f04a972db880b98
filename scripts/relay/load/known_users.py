"""A destination's own directory of users: for matches (MoEngage) and forecasts (CleverTap)."""

import re
from dataclasses import dataclass
from datetime import UTC
from pathlib import Path

from duckdb import DuckDBPyConnection

from relay.errors import ConfigurationError, InputFileError
from relay.load import landing
from relay.load.csv_files import open_csv
from relay.load.event_files import note_file
from relay.load.event_writer import Counts
from relay.load.progress import NoProgress, Progress
from relay.load.result import LoadResult
from relay.settings import Settings
from relay.warehouse import transaction

SOURCE = "known_users"


@dataclass(frozen=True)
class Directory:
    """The columns of a destination's directory: a user's key, and the one of an anonymous user."""

    user_key: str
    anonymous_key: str


DIRECTORIES = {
    "moengage": Directory("uid", "moe_anonymous_id"),
    "clevertap": Directory("identity", "objectId"),
}


def load_known_users(
    connection: DuckDBPyConnection,
    settings: Settings,
    destination: str,
    path: Path,
    *,
    progress: Progress | None = None,
) -> LoadResult:
    """Replace what is known of a destination's users by a file.

    Args:
        connection: Open warehouse with the raw tables; the caller holds the lock.
        settings: Whose landing/ and clock.
        destination: `moengage` or `clevertap`.
        path: CSV, plain or gzip, with a header that has both columns of `DIRECTORIES`, among others
            or not. A row has either key or both; one without any is rejected.
        progress: Told how far it is.

    Returns:
        The counts; loading the same file again changes nothing.

    Raises:
        ConfigurationError: The destination has no directory.
        InputFileError: A column is missing or the file cannot be read to its end; what was known
            before stays.
    """
    directory = DIRECTORIES.get(destination)
    if directory is None:
        raise ConfigurationError(
            f"--destination {destination}: expected {' or '.join(sorted(DIRECTORIES))}"
        )
    progress = progress or NoProgress()
    progress.expect(1)
    landing.sweep(settings.home, SOURCE)
    landed = landing.land_file(settings.home, f"{SOURCE}/{destination}", path)
    progress.received(landed.size)
    source = f"{SOURCE}/{destination}"
    newest = connection.execute(
        "select sha256, row_count, rejected from raw.loaded_files where source = ?"
        " order by load_id desc limit 1",
        [source],
    ).fetchone()
    if newest is not None and newest[0] == landed.sha256:
        rows, rejected = newest[1], newest[2]
        return LoadResult(
            SOURCE,
            files=(landed.source_file,),
            rows=rows,
            duplicates=rows - rejected,
            rejected=rejected,
        )
    now = settings.now()
    with transaction(connection):
        ((load_id,),) = connection.execute("select nextval('raw.load_ids')").fetchall()
        with open_csv(path, landed.path) as text:
            columns = text.columns
            missing = {directory.user_key, directory.anonymous_key} - columns.keys()
            if missing:
                raise InputFileError(
                    path,
                    f"has no column {' and '.join(sorted(missing))}; expected a header with"
                    f" {directory.user_key} and {directory.anonymous_key}",
                    line=1,
                )
            own = {
                "destination": destination,
                "source": source,
                "source_file": landed.source_file,
                "load_id": load_id,
                "now": now.astimezone(UTC).replace(tzinfo=None),
            }
            connection.execute(
                "create or replace temp table directory_rows as"
                f" select nullif({columns[directory.user_key]}, '') as user_key,"
                f" nullif({columns[directory.anonymous_key]}, '') as anonymous_key,"
                f" row_number() over () + 1 as line_number from {text.rows()}"
            )
        _run(connection, _FORGET, own)
        _run(connection, _FORGET_REJECTED, own)
        loaded = _run(connection, _KEEP, own)
        rejected = _run(connection, _REJECT, own)
        ((rows,),) = connection.execute("select count(*) from directory_rows").fetchall()
        counts = Counts(rows, loaded, rows - loaded - rejected, rejected)
        note_file(
            connection,
            landed,
            landed.sha256,
            "loaded",
            now,
            source=source,
            counts=counts,
            load_id=load_id,
        )
    progress.stored(counts.rows)
    progress.advance(1)
    return LoadResult(
        SOURCE,
        files=(landed.source_file,),
        rows=counts.rows,
        loaded=counts.loaded,
        duplicates=counts.duplicates,
        rejected=counts.rejected,
    )


def _run(connection: DuckDBPyConnection, sql: str, values: dict[str, object]) -> int:
    named = {name: values[name] for name in re.findall(r"\$(\w+)", sql)}
    ((count,),) = connection.execute(sql, named).fetchall()
    return int(count)


_FORGET = "delete from raw.known_users where destination = $destination"
_FORGET_REJECTED = "delete from raw.rejected_rows where source = $source"
_KEEP = """
    insert into raw.known_users
    select $destination, user_key, anonymous_key, $source_file, $load_id, $now
    from directory_rows
    where user_key is not null or anonymous_key is not null
    qualify row_number() over (partition by user_key, anonymous_key order by line_number) = 1
    order by line_number
"""
# Line numbers are those of rows behind the header; a quoted line feed would shift them.
_REJECT = """
    insert into raw.rejected_rows
    select
        $source, $source_file, line_number, 'has neither key', null::blob, $load_id, $now
    from directory_rows
    where user_key is null and anonymous_key is null
    order by line_number
"""
