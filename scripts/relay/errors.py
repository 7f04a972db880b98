"""The errors a caller may catch, and the exit code each one ends a command with.

A message says what is wrong, where (file, line, field), what was expected and what to do. Anything
else that goes wrong is a bug and stays a traceback. Results that are no failure (something is held,
some rows were rejected) are not errors: commands return them with exit code 3 or 4.
"""

from collections.abc import Iterable
from pathlib import Path


class RelayError(Exception):
    """Something the person who runs the command can act on."""

    exit_code = 1


class ConfigurationError(RelayError):
    """The call, the environment or syncs.yml cannot be right."""

    exit_code = 2

    @classmethod
    def of_file(
        cls, path: Path | str, problems: Iterable[tuple[int, str, str]]
    ) -> "ConfigurationError":
        """One error that tells every problem of a file: (1-based line, field or "", text)."""
        lines = [
            f"{path}:{line}: {field}{': ' if field else ''}{text}"
            for line, field, text in sorted(set(problems))
        ]
        heading = [] if len(lines) == 1 else [f"{path} has {len(lines)} problems:"]
        return cls("\n".join([*heading, *lines]))


class InputFileError(RelayError):
    """A file that was to be loaded is not what it should be; nothing of it is stored.

    Args:
        path: The file, as the user or the loader named it.
        problem: What is wrong and what was expected.
        line: 1-based line in the file, where one is to blame.
    """

    def __init__(self, path: Path | str, problem: str, *, line: int | None = None) -> None:
        self.path = Path(path)
        self.line = line
        super().__init__(f"{path}{'' if line is None else f', line {line}'}: {problem}")


class NotFoundError(RelayError):
    """Nothing is known of what was asked for."""


class VendorError(RelayError):
    """A vendor refused a request, or gave no usable answer after every retry."""


class BudgetError(ConfigurationError):
    """Amplitude's monthly cohort downloads are used up, or the schedule can never fit them."""


class LockedError(RelayError):
    """Another process holds the lock of this RELAY_HOME; the message names it and its age."""


class PlanError(RelayError):
    """A plan does not exist, was changed after sealing, or is stale."""


class LedgerError(RelayError):
    """The ledger cannot be read as what it must be."""


class BuildError(RelayError):
    """dbt could not build the models; its own messages were printed before."""
