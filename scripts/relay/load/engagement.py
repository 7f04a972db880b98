"""`relay load moengage-events`, `clevertap-events` from files: land the bytes, store the rows.

Each file is one transaction, so a kill at any moment leaves it loaded or not loaded. A file that is
refused keeps none of the others from being loaded.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import date, timedelta
from pathlib import Path

from duckdb import DuckDBPyConnection

from relay.errors import InputFileError
from relay.load import clevertap_events, moengage_events
from relay.load.clevertap_events import Load, load_clevertap_file
from relay.load.event_files import frugal
from relay.load.export_files import export_files, is_no_by_product
from relay.load.landing import Landed, found, land_file
from relay.load.moengage_events import load_moengage_files
from relay.load.result import LoadResult, Note
from relay.settings import Home, Settings
from relay.warehouse import transaction

# Below landing/: one folder a day, one file a request body, named after its SHA-256.
STREAMS_FOLDER = f"{moengage_events.SOURCE}/streams"
# Bodies are small: so many of them are one transaction.
BODIES_A_TRANSACTION = 500


def next_load_id(connection: DuckDBPyConnection) -> int:
    """The number of a load that begins now; numbers only grow, and the caller holds the lock."""
    ((load_id,),) = connection.execute("select nextval('raw.load_ids')").fetchall()
    return int(load_id)


def load_moengage_events(
    connection: DuckDBPyConnection, settings: Settings, paths: Iterable[Path] = ()
) -> LoadResult:
    """Load MoEngage's events from files, or without any from what the webhook has landed.

    Args:
        connection: Open warehouse; the caller holds the lock.
        settings: Whose landing/, and the clock.
        paths: Files, folders or patterns; see `load_moengage_files` for what a file holds.

    Returns:
        The sum over all files; a refused file is one of its `failures`.

    Raises:
        InputFileError: A path names no file.
    """
    files = export_files(list(paths), takes=is_no_by_product)
    if not files:
        return _load_streams(connection, settings)

    def load(landed: Landed) -> LoadResult:
        known = _known_file(connection, landed.source_file)
        return known or load_moengage_files(
            connection,
            [(landed.path, landed.source_file)],
            load_id=next_load_id(connection),
            loaded_at=settings.now(),
        )

    return _load_each(connection, settings, moengage_events.SOURCE, files, load)


def load_clevertap_files(
    connection: DuckDBPyConnection, settings: Settings, paths: Iterable[Path]
) -> LoadResult:
    """Load CleverTap's export files.

    Args:
        connection: Open warehouse; the caller holds the lock.
        settings: Whose landing/, the clock, and the zone of the CleverTap project.
        paths: Files, folders or patterns; see `load_clevertap_file` for what a file holds.

    Returns:
        The sum over all files; a refused file is one of its `failures`.

    Raises:
        ConfigurationError: `CLEVERTAP_TIMEZONE` is not set.
        InputFileError: A path names no file.
    """
    zone = settings.env.clevertap_zone().key

    def load(landed: Landed) -> LoadResult:
        this_load = Load(next_load_id(connection), settings.now(), zone, "file")
        return load_clevertap_file(
            connection, landed.path, source_file=landed.source_file, load=this_load
        )

    files = export_files(list(paths), takes=is_no_by_product)
    return _load_each(connection, settings, clevertap_events.SOURCE, files, load)


def _load_each(
    connection: DuckDBPyConnection,
    settings: Settings,
    source: str,
    files: Iterable[Path],
    load: Callable[[Landed], LoadResult],
) -> LoadResult:
    result = LoadResult(source)
    with frugal(connection, threads=None):
        for path in files:
            try:
                landed = land_file(settings.home, source, path)
                with transaction(connection):
                    result += load(landed)
            except InputFileError as error:
                result += LoadResult(source, failures=(Note(str(path), str(error)),))
    return result


def _known_file(connection: DuckDBPyConnection, source_file: str) -> LoadResult | None:
    """What a file of MoEngage's is whose bytes were loaded before: nothing new; else None."""
    found = connection.execute(
        "select row_count, rejected_count from raw.moengage_files where source_file = ?",
        [source_file],
    ).fetchone()
    if found is None:
        return None
    rows, rejected = found
    return LoadResult(
        moengage_events.SOURCE,
        files=(source_file,),
        rows=rows,
        duplicates=rows - rejected,
        rejected=rejected,
    )


def _load_streams(connection: DuckDBPyConnection, settings: Settings) -> LoadResult:
    """Load the bodies that the webhook has landed since the last time."""
    result = LoadResult(moengage_events.SOURCE)
    today = settings.now().date()
    for day, folder in _open_days(connection, settings.home):
        bodies = _new_bodies(connection, settings.home, folder)
        for start in range(0, len(bodies), BODIES_A_TRANSACTION):
            result += _load_bodies(
                connection, settings, bodies[start : start + BODIES_A_TRANSACTION]
            )
        # A body belongs to the day it came; two days later nothing comes to it any more.
        if day < today - timedelta(days=1) and not result.failures:
            connection.execute("insert into raw.moengage_days values (?)", [day])
    return result


def _load_bodies(
    connection: DuckDBPyConnection, settings: Settings, bodies: Sequence[str]
) -> LoadResult:
    """Load some bodies as one transaction; where one of them is refused, each for itself."""
    source = moengage_events.SOURCE
    try:
        with transaction(connection):
            return _store_bodies(connection, settings, bodies)
    except InputFileError as error:
        if len(bodies) == 1:
            return LoadResult(source, failures=(Note(bodies[0], str(error)),))
    return sum(
        (_load_bodies(connection, settings, [body]) for body in bodies), start=LoadResult(source)
    )


def _store_bodies(
    connection: DuckDBPyConnection, settings: Settings, bodies: Sequence[str]
) -> LoadResult:
    landed = [found(settings.home, body) for body in bodies]
    return load_moengage_files(
        connection,
        [(one.path, one.source_file) for one in landed],
        load_id=next_load_id(connection),
        loaded_at=settings.now(),
    )


def _open_days(connection: DuckDBPyConnection, home: Home) -> Iterator[tuple[date, Path]]:
    """The days whose folders may hold something new, in order."""
    rows = connection.execute("select day from raw.moengage_days").fetchall()
    closed = {day for (day,) in rows}
    root = home.landing / STREAMS_FOLDER
    for folder in sorted(root.iterdir()) if root.is_dir() else []:
        try:
            day = date.fromisoformat(folder.name)
        except ValueError:
            continue
        if day not in closed:
            yield day, folder


def _new_bodies(connection: DuckDBPyConnection, home: Home, folder: Path) -> list[str]:
    """The bodies of one day that are not loaded, in the order in which they came."""
    prefix = folder.relative_to(home.landing).as_posix() + "/"
    rows = connection.execute(
        "select source_file from raw.moengage_files where starts_with(source_file, ?)", [prefix]
    ).fetchall()
    loaded = {name for (name,) in rows}
    bodies = [path for path in folder.glob("*.json") if prefix + path.name not in loaded]
    return [prefix + path.name for path in sorted(bodies, key=lambda p: (p.stat().st_mtime_ns, p))]
