"""What somebody should look at among identifiers: `identity.health`, counted, the largest first."""

from typing import Any

from duckdb import DuckDBPyConnection

LARGEST = 3
_HEALTH = f"""
select
    finding,
    count(*) as findings_count,
    list(
        {{
            'namespace': namespace, 'id_type': id_type, 'id_value': id_value,
            'affected_count': affected_count, 'detail': detail
        }}
        order by affected_count desc, namespace, id_type, id_value, detail
    )[:{LARGEST}] as largest
from identity.health
group by finding
order by finding
"""


def identity_health(connection: DuckDBPyConnection) -> list[dict[str, Any]]:
    """Each kind of finding with how many there are and the largest of them.

    Args:
        connection: The analysts' copy, open for reading.

    Returns:
        `{"finding", "count", "largest": [{"namespace", "id_type", "id_value", "affected_count",
        "detail"}]}` by name, `LARGEST` of each, by `affected_count`; empty where nothing was found.
        The whole list is the view `identity.health`.

    Source:
        reference identity rules, section 6.
    """
    rows = connection.execute(_HEALTH).fetchall()
    return [{"finding": name, "count": count, "largest": largest} for name, count, largest in rows]
