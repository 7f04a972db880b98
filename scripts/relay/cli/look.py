"""`relay status`, `history`, `members`, `doctor`: questions, answered from the analysts' copy."""

from datetime import datetime

import click

from relay import warehouse
from relay.cli.command import Outcome, relay_command
from relay.cli.options import INSTANT
from relay.plan.budget import look_at_budget
from relay.report.doctor import doctor
from relay.report.health import identity_health
from relay.report.history import history
from relay.report.members import members_of
from relay.report.status import status
from relay.report.tables import table
from relay.settings import Settings


def register(group: click.Group) -> None:
    """Add the commands to the `relay` group."""

    @relay_command(group, "status")
    def status_command(settings: Settings) -> Outcome:
        """How each sync and export stands: last run, next run, members, what waits.

        Also how Amplitude's monthly cohort downloads stand, and what to do where they are too few.

        \b
        Example:
            relay status
        """
        with warehouse.read(settings.home) as connection:
            entries = status(connection, settings)
            budget = look_at_budget(connection, settings.config, now=settings.now())
        columns = (
            *("name", "destination", "members", "confirmed", "pending", "held", "unknown"),
            *("parked", "last_run_at", "next_run_at"),
        )
        rows = [
            (*(entry[column] for column in columns), "; ".join(entry["notes"])) for entry in entries
        ]
        text = table((*columns, "notes"), rows)
        if budget.advice is not None:
            text += f"budget: {budget.advice}\n"
        document = {"syncs": entries, "budget": budget.document}
        return Outcome(document, f"{len(entries)} syncs", text)

    @relay_command(group, "members")
    @click.argument("sync")
    @click.option("--as-of", type=INSTANT, help="A past time (ISO 8601, UTC); default now.")
    def members_command(settings: Settings, sync: str, as_of: datetime | None) -> Outcome:
        """Who is confirmed in a destination's segment, now or at any past time.

        \b
        Example:
            relay members cart-to-clevertap --as-of 2026-03-02T12:00:00Z
        """
        with warehouse.read(settings.home) as connection:
            document = members_of(connection, sync, as_of)
        rows = [tuple(member.values()) for member in document["members"]]
        line = f"{len(rows)} members of {sync}"
        return Outcome(document, line, table(("key_type", "key_value", "since"), rows))

    @relay_command(group, "history")
    @click.option("--limit", default=30, show_default=True, help="How many entries.")
    def history_command(settings: Settings, limit: int) -> Outcome:
        """What was planned and what came of it, newest first.

        \b
        Example:
            relay history --limit 5
        """
        with warehouse.read(settings.home) as connection:
            entries = history(connection, limit)
        columns = tuple(entries[0]) if entries else ("plan_id", "sync")
        text = table(columns, [tuple(entry.values()) for entry in entries])
        return Outcome({"history": entries}, f"{len(entries)} entries", text)

    @relay_command(group, "doctor")
    @click.option("--identity", "with_identity", is_flag=True, help="Also the health of identity.")
    def doctor_command(settings: Settings, with_identity: bool) -> Outcome:
        """Look at configuration, keys, regions, clock, lock, disk and the download budget.

        With --identity also at what was found among identifiers (docs/identity.md): placeholders,
        shared devices, refused links, persons that are remarkably large.

        \b
        Example:
            relay doctor --identity
        """
        report = doctor(settings)
        problems = sum(check.state == "problem" for check in report.checks)
        line = f"{problems} problems" if problems else "nothing stands in the way of a run"
        document, text = report.document, "\n".join(report.lines)
        if with_identity:
            with warehouse.read(settings.home) as connection:
                document["identity"] = identity_health(connection)
            columns = ("finding", "count", "id_type", "id_value", "affected_count", "detail")
            rows = [
                (found["finding"], found["count"], *(largest[name] for name in columns[2:]))
                for found in document["identity"]
                for largest in found["largest"]
            ]
            text += "\n\n" + (table(columns, rows) if rows else "identity: nothing found\n")
        return Outcome(document, line, text, report.exit_code)
