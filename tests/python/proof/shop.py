"""A small shop on two days: what Amplitude and CleverTap have, and what every vendor then holds."""

import json
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from relay.emulate import AmplitudeSwitches, ClevertapSwitches, Clock, Emulators
from relay.emulate.moengage.switches import MoengageSwitches
from relay.settings import Settings, load_settings

SYNCS = """\
version: 1
amplitude: {backfill_days: 1, lookback_hours: 3}
cohort_syncs:
  - {name: cart-to-clevertap, cohort_id: c-cart, destination: clevertap, frequency: hourly}
  - {name: cart-to-moengage, cohort_id: c-cart, destination: moengage, frequency: hourly}
  - {name: cart-to-lytics, cohort_id: c-cart, destination: lytics, frequency: hourly}
event_imports:
  - {name: events-to-lytics, destination: lytics, backfill_days: 2}
event_exports:
  - name: clevertap-engagement
    source: clevertap
    events: engagement
    frequency: every_4_hours
    start_date: 2026-01-01
    residency: eu
"""
DAYS = (datetime(2026, 3, 2, 12, tzinfo=UTC), datetime(2026, 3, 3, 12, tzinfo=UTC))
# Numbers of the members on each day: three leave, three come.
MEMBERS = (range(1, 16), range(4, 19))
EVENTS_A_DAY = 12
COUNTED = ("clevertap", "lytics", "amplitude")


class Shop:
    """The vendors, started, and a home of ours.

    Args:
        home: RELAY_HOME; it is made, with its syncs.yml.
    """

    def __init__(self, home: Path) -> None:
        self.home = home
        home.mkdir(parents=True, exist_ok=True)
        (home / "syncs.yml").write_text(SYNCS, encoding="utf-8")
        self.vendors = Emulators(
            clock=Clock(DAYS[0], frozen=True),
            amplitude=AmplitudeSwitches(cohort_polls=1),
            clevertap=ClevertapSwitches(partner_sync_restricted=False),
            moengage=MoengageSwitches(cohort_requests_a_minute=None),
        )
        self.day = 0

    def __enter__(self) -> "Shop":
        self.vendors.start()
        self.vendors.moengage.add_users(f"user-{number:03}" for number in range(100))
        return self

    def __exit__(self, *_: object) -> None:
        self.vendors.stop()

    @property
    def environ(self) -> dict[str, str]:
        """What points a command to these vendors, on this day."""
        return {**self.vendors.environ, "RELAY_NOW": DAYS[self.day].isoformat()}

    @property
    def settings(self) -> Settings:
        """The same as settings."""
        return load_settings(self.home, environ=self.environ)

    @property
    def engagement_file(self) -> Path:
        """CleverTap's export file of the day."""
        return self.home / f"engagement-{self.day + 1}.json"

    def begin_day(self, day: int) -> None:
        """Let a day come: events happened, the cohort was computed, a file arrived."""
        self.day = day
        now = DAYS[day]
        self.vendors.clock.set(now)
        project = self.vendors.amplitude.project
        self.vendors.amplitude.add_events(project, list(_events(now)))
        members = [(1000 + number, f"user-{number:03}") for number in MEMBERS[day]]
        computed = now - timedelta(hours=1)
        self.vendors.amplitude.set_cohort(
            "c-cart", "Cart drop-off", last_computed=computed, members=members
        )
        rows = [
            {
                "profile": {"identity": f"user-{number:03}"},
                "ts": int((now - timedelta(hours=5)).strftime("%Y%m%d%H%M%S")),
                "eventProps": {"Campaign id": 17, "wzrk_pivot": f"v{number}"},
            }
            for number in range(1, 7)
        ]
        lines = ["Notification Viewed", *(json.dumps(row) for row in rows)]
        self.engagement_file.write_text("\n".join(lines) + "\n", encoding="utf-8")

    def commands(self) -> list[list[str]]:
        """What is run on a day."""
        return [["load", "clevertap-events", "--path", str(self.engagement_file)], ["sync"]]

    # --- what the vendors hold -------------------------------------------------------------------

    def segments(self) -> dict[str, list[str]]:
        """Who is in the segment at each destination."""
        vendors = self.vendors
        return {
            "clevertap": sorted(value for _, value in vendors.clevertap.members("c-cart")),
            "moengage": sorted(
                vendors.moengage.members("[Amplitude][Cart drop-off]")
                | vendors.moengage.members("Cart drop-off")
            ),
            "lytics": sorted(
                f"{field}:{value}" for field, value in vendors.lytics.members("c-cart")
            ),
        }

    def copies(self) -> dict[str, Counter[str]]:
        """How often each thing that counts was stored: CleverTap's events, Lytics', Amplitude's.

        An event of CleverTap's is one of its day: a plan made after a kill has a later time.
        """
        clevertap = Counter(
            f"{event['key_value']} {event['evtData'].get('Action')} {event['ts'] // 86_400}"
            for event in self.vendors.clevertap.state()["events"]
        )
        lytics: Counter[str] = Counter()
        for profile in self.vendors.lytics.state()["profiles"]:
            name = "/".join(f"{field}={value}" for field, value in profile["unique_ids"])
            for event, number in (profile["fields"].get("amplitude_events") or {}).items():
                lytics[f"{name} {event}"] += int(number)
        amplitude = Counter(str(event["$insert_id"]) for event in self.vendors.amplitude.ingested())
        return {"clevertap": clevertap, "lytics": lytics, "amplitude": amplitude}

    def has_event(self, record: dict[str, Any]) -> bool:
        """Whether CleverTap stored just this record, to the second."""
        sought = (record["identity"], record["evtData"]["Action"], record["ts"])
        return any(
            sought == (event["key_value"], event["evtData"].get("Action"), event["ts"])
            for event in self.vendors.clevertap.state()["events"]
        )


def _events(now: datetime) -> Iterator[dict[str, Any]]:
    """Some events of the last day, older than the hours that cannot be exported yet."""
    for number in range(EVENTS_A_DAY):
        at = now - timedelta(hours=5 + number % 6, minutes=number)
        stamp = at.strftime("%Y-%m-%d %H:%M:%S.%f")
        user = 1 + number % 8
        yield {
            "$insert_id": f"e-{now:%d}-{number}",
            "amplitude_id": 1000 + user,
            "user_id": f"user-{user:03}",
            "device_id": f"device-{user}",
            "event_type": "Song Played" if number % 3 else "Cart Opened",
            "event_time": stamp,
            "client_event_time": stamp,
            "server_upload_time": stamp,
            "event_properties": {"genre": "jazz", "seconds": number},
        }
