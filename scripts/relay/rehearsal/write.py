"""Put a made-up world on disk: `python -m relay.rehearsal.write --out FOLDER`.

One folder a step, holding what is new since the step before:

    world.json                                      sizes, seed, and the clock of each step
    step-1/events/829528_2026-06-15.zip             an export archive a day of upload
    step-1/merges/-36958_2026-06-16_9.json.gz       merged ids, a file an hour
    step-1/cohorts/cohorts.json                     the answer of the cohort list
    step-1/cohorts/1638361188.csv                   a snapshot of each computed cohort
    step-1/known-users/moengage.csv, clevertap.csv  the destinations' own users
    step-1/moengage/, step-1/clevertap/             engagement events, the vendors' own files
    step-1/truth/clevertap-1638361188.json          members, keys and diff as they must come out
    step-1/truth/moengage-events.json               what must become of each engagement event
"""

import json
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, date, datetime
from itertools import groupby
from pathlib import Path
from typing import Any

import click

from relay.rehearsal.addressing import Key
from relay.rehearsal.archives import ExportHour, write_export_archive
from relay.rehearsal.engagement import Vendor
from relay.rehearsal.truth import TrueChange, TrueDiff, Truth
from relay.rehearsal.world import START, Moment, World


def write_world(world: World, folder: Path) -> list[Path]:
    """Write every step of a world; files that are there are replaced.

    Args:
        world: Any size: events are streamed, an hour at a time.
        folder: Made if it is not there.

    Returns:
        The files, in the order of writing.
    """
    written = [_write_json(folder / "world.json", _about(world))]
    since: datetime | None = None
    for step in range(1, len(world.script.steps) + 1):
        moment = world.at(step)
        written += write_step(world, moment, folder / f"step-{step}", since)
        since = moment.now
    return written


def write_step(world: World, moment: Moment, folder: Path, since: datetime | None) -> list[Path]:
    """Write one step: what was uploaded or merged since a time, and the cohorts of now."""
    written = list(_write_events(world, moment, folder / "events", since))
    for name, content in moment.merge_files(since):
        written.append(_write(folder / "merges" / name, content))
    cohorts = moment.cohorts()
    listing = {"cohorts": [cohort.listing for cohort in cohorts]}
    written.append(_write_json(folder / "cohorts" / "cohorts.json", listing))
    for cohort in cohorts:
        if cohort.computed_at is None:
            continue
        written.append(_write(folder / "cohorts" / f"{cohort.cohort_id}.csv", cohort.csv))
        for destination in ("clevertap", "moengage", "lytics"):
            truth = moment.truth(cohort.cohort_id, destination=destination)
            diff = moment.diff(cohort.cohort_id, destination=destination)
            path = folder / "truth" / f"{destination}-{cohort.cohort_id}.json"
            written.append(_write_json(path, truth_document(truth, diff)))
    return written + write_engagement(moment, folder)


def write_engagement(moment: Moment, folder: Path) -> list[Path]:
    """Write the destinations' own users and events of one step, and what must become of them."""
    written = []
    files = {"moengage": moment.moengage_files(), "clevertap": moment.clevertap_files()}
    vendors: tuple[Vendor, ...] = ("moengage", "clevertap")
    for vendor in vendors:
        path = folder / "known-users" / f"{vendor}.csv"
        written.append(_write(path, moment.known_users(vendor)))
        for name, content in files[vendor]:
            written.append(_write(folder / vendor / name, content))
        told = [
            {**asdict(event), "at": event.at.isoformat(), "is_dropped": event.is_dropped}
            for event in moment.engagements(vendor)
        ]
        path = folder / "truth" / f"{vendor}-events.json"
        written.append(_write_json(path, {"events": told}))
    return written


def truth_document(truth: Truth, diff: TrueDiff) -> dict[str, Any]:
    """A truth and its diff as plain values; a key is `identity:ann` or `object_id:ipad-7`."""

    def changes(listed: tuple[TrueChange, ...]) -> list[dict[str, str]]:
        return [
            {"key": str(change.key), "key_value": change.key_value, "reason": change.reason}
            for change in listed
        ]

    def keys(listed: tuple[Key, ...]) -> list[str]:
        return [str(key) for key in listed]

    return {
        "cohort_id": truth.cohort_id,
        "step": truth.step,
        "rows": truth.rows,
        "unidentifiable": truth.unidentifiable,
        "keys": {str(key): value for key, value in truth.keys.items()},
        "persons": [
            {**asdict(person), "key": person.key and str(person.key)} for person in truth.persons
        ],
        "added": changes(diff.added),
        "removed": changes(diff.removed),
        "reasserted": keys(diff.reasserted),
        "unchanged": keys(diff.unchanged),
    }


def _write_events(
    world: World, moment: Moment, folder: Path, since: datetime | None
) -> Iterator[Path]:
    def day_of(hour: ExportHour) -> date:
        return hour.hour.date()

    folder.mkdir(parents=True, exist_ok=True)
    for day, hours in groupby(moment.hours(since), day_of):
        path = folder / f"{world.project}_{day:%Y-%m-%d}.zip"
        with path.open("wb") as target:
            write_export_archive(target, hours, requested_at=moment.now)
        yield path


def _about(world: World) -> dict[str, Any]:
    script = world.script
    return {
        "seed": script.seed,
        "project": world.project,
        "organisation": world.organisation,
        "people": len(script.people),
        "steps": [{"step": step, "now": now.isoformat().replace("+00:00", "Z")}
                  for step, now in enumerate(script.steps, start=1)],
        "cohorts": {cohort.cohort_id: cohort.name for cohort in script.cohorts},
    }  # fmt: skip


def _write(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def _write_json(path: Path, document: dict[str, Any]) -> Path:
    return _write(path, (json.dumps(document, ensure_ascii=False, indent=2) + "\n").encode())


@click.command()
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder to write to.")
@click.option("--people", default=400, show_default=True, help="How many people; at least 160.")
@click.option("--days", default=4, show_default=True, help="Days until step 2; at least 3.")
@click.option("--events-per-person", default=16, show_default=True, help="On average.")
@click.option("--seed", default=7, show_default=True, help="Same seed, same bytes.")
@click.option("--start", type=click.DateTime(["%Y-%m-%d"]), help="Day 0.  [default: 2026-06-15]")
def main(
    out: Path, people: int, days: int, events_per_person: int, seed: int, start: datetime | None
) -> None:
    """Write a made-up shop's exports, cohorts, merged ids and their truth to a folder.

    \b
    Example:
        python -m relay.rehearsal.write --out /tmp/world --people 400 --days 4 --seed 7
    """
    try:
        world = World(
            people=people,
            days=days,
            events_per_person=events_per_person,
            seed=seed,
            start=start.replace(tzinfo=UTC).date() if start else START,
        )
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    written = write_world(world, out)
    click.echo(f"{len(written)} files in {out}")


if __name__ == "__main__":
    main()
