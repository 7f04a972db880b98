"""How far a load is, told to whoever shows it; nobody by default."""

from typing import Protocol


class Progress(Protocol):
    """Told how far a load is; `relay.cli.progress` shows it on a terminal."""

    def expect(self, hours: int) -> None:
        """So many hours (or files) are to be loaded."""

    def advance(self, hours: int) -> None:
        """So many of them are done, well or not."""

    def received(self, size: int) -> None:
        """So many bytes came."""

    def stored(self, rows: int) -> None:
        """So many lines were read."""


class NoProgress:
    """Tells nobody."""

    def expect(self, hours: int) -> None:
        """See `Progress`."""

    def advance(self, hours: int) -> None:
        """See `Progress`."""

    def received(self, size: int) -> None:
        """See `Progress`."""

    def stored(self, rows: int) -> None:
        """See `Progress`."""
