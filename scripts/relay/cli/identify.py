"""`relay identify`: tell Amplitude under which identity CleverTap knows its users."""

from pathlib import Path
from typing import Any

import click

from relay import warehouse
from relay.apply.commands import apply_sealed
from relay.apply.run import ApplyResult
from relay.cli.apply import applied_line, applied_table
from relay.cli.command import Outcome, relay_command
from relay.cli.signals import stopping_on_signals
from relay.plan.identify import IdentifyOutcome, make_identify_plan
from relay.settings import Settings

SOME_REJECTED = 4


def register(group: click.Group) -> None:
    """Add the command to the `relay` group."""

    @relay_command(group, "identify")
    @click.option(
        "--path",
        type=click.Path(path_type=Path),
        required=True,
        help="CSV with the columns user_id,CleverTap_Identity.",
    )
    @click.option("--no-send", is_flag=True, help="Seal the plan only; `relay apply` sends it.")
    def identify(settings: Settings, path: Path, no_send: bool) -> Outcome:
        """Set the property CleverTap_Identity on users in Amplitude.

        A sync with `user_id_from: [CleverTap_Identity, user_id]` then names them to CleverTap by
        it. Users that have the very same identity already are left alone.

        \b
        Example:
            relay identify --path identities.csv
        """
        with warehouse.lock(settings.home, "relay identify"), stopping_on_signals() as stop:
            sealed = make_identify_plan(settings, path)
            applied = None
            if sealed.plan is not None and not no_send:
                applied = apply_sealed(settings, sealed.plan.plan_id, stop=stop)
            else:
                warehouse.publish(settings.home)
        return _outcome(sealed, applied)


def _outcome(sealed: IdentifyOutcome, applied: ApplyResult | None) -> Outcome:
    plan = sealed.plan
    document: dict[str, Any] = {
        "plan_id": plan.plan_id if plan else None,
        "plan_hash": plan.plan_hash if plan else None,
        "path": str(plan.folder) if plan else None,
        "rows": sealed.rows,
        "added": sealed.added,
        "unchanged": sealed.unchanged,
        "dropped": [vars(one) for one in sealed.dropped],
    }
    line = (
        f"{sealed.rows} rows: {sealed.added} to set, {sealed.unchanged} as they were,"
        f" {len(sealed.dropped)} dropped"
    )
    said = [f"line {one.line}: {one.reason}" for one in sealed.dropped]
    exit_code = SOME_REJECTED if sealed.dropped else 0
    if applied is None:
        return Outcome(document, line, "\n".join(said), exit_code)
    document |= {"syncs": applied.document["syncs"]}
    text = "\n".join([*said, applied_table(applied)])
    # What went wrong in sending outweighs what was dropped before.
    return Outcome(
        document, f"{line}; {applied_line(applied)}", text, applied.exit_code or exit_code
    )
