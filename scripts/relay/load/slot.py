"""A relation whose rows are replaced, within a transaction that may be long."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import pyarrow as pa
from duckdb import DuckDBPyConnection


class Slot:
    """Rows under a name in SQL; a query reads the rows that are there when it runs.

    What a transaction drops stays in memory until it ends: a temporary table, or a registered Arrow
    table, of each unit of a file would amount to the file. A slot is registered once.

    Args:
        connection: Whose queries know the name.
        name: Of the relation.
        types: Names and types of its columns.

    Attributes:
        name: As given.
        rows: What is there.
    """

    def __init__(self, connection: DuckDBPyConnection, name: str, types: pa.Schema) -> None:
        self.name = name
        self._connection = connection
        self._empty = types.empty_table()
        self.rows = self._empty
        connection.register(name, self)

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        """What DuckDB asks for each time it reads the relation."""
        return self.rows.__arrow_c_stream__(requested_schema)

    def fill(self, query: str, parameters: Mapping[str, object] | None = None) -> None:
        """Put the result of a query there, which may read the slot itself."""
        self.rows = self._connection.execute(query, parameters).to_arrow_table()

    def empty(self) -> None:
        """Let go of the rows."""
        self.rows = self._empty


@contextmanager
def shown(connection: DuckDBPyConnection, name: str, rows: pa.Table) -> Iterator[None]:
    """Have rows under a name while the block runs; nothing of them is held afterwards."""
    slot = Slot(connection, name, rows.schema)
    slot.rows = rows
    try:
        yield
    finally:
        slot.empty()
        connection.unregister(name)
