"""Who is in a destination's segment, now or at any past time."""

from datetime import UTC, datetime
from typing import Any

from duckdb import DuckDBPyConnection

from relay.errors import ConfigurationError


def members_of(connection: DuckDBPyConnection, sync: str, as_of: datetime | None) -> dict[str, Any]:
    """The confirmed members of a sync's segment.

    Args:
        connection: The analysts' copy, open for reading.
        sync: Name of the sync.
        as_of: The moment that is asked for, with a time zone; None: now. A membership counts from
            the answer that confirmed it, up to but without the answer that ended it.

    Returns:
        `{"sync", "as_of", "members": [{"key_type", "key_value", "since"}]}` by key.

    Raises:
        ConfigurationError: No sync of that name is configured or was ever sent.
    """
    known = connection.execute(
        "select count(*) from (select sync_name from staging.stg_relay__syncs union all"
        " select sync_name from ledger.syncs) where sync_name = ?",
        [sync],
    ).fetchone()
    if known == (0,):
        raise ConfigurationError(f"there is no sync {sync!r}, and none was ever sent")
    moment = "infinity" if as_of is None else as_of.astimezone(UTC).replace(tzinfo=None)
    rows = connection.execute(
        "select key_type, key_value, valid_from from reports.confirmed_memberships"
        " where sync_name = $1 and valid_from <= cast($2 as timestamp)"
        " and (valid_to is null or valid_to > cast($2 as timestamp))"
        " order by key_type, key_value",
        [sync, moment],
    ).fetchall()
    return {
        "sync": sync,
        "as_of": None if as_of is None else as_of.astimezone(UTC).isoformat(),
        "members": [
            {"key_type": key_type, "key_value": value, "since": since.isoformat() + "Z"}
            for key_type, value, since in rows
        ],
    }
