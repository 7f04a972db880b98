"""A plan for every way to every destination, and what the emulated vendors hold of it."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import httpx

from apply.sealed import Sync, body_of, key_of, record_of, seal, settings_in
from relay.apply.ledger import Ledger
from relay.apply.outgoing import read_all_outgoing
from relay.apply.state import SyncHistory, histories
from relay.emulate import ClevertapSwitches, Emulators, MoengageSwitches
from relay.plan.manifest import Plan
from relay.settings import Settings

SYNCS = [
    Sync("ct", "clevertap", [(1, 3), (1, 2), (2, 4), (2, 1)], delivery="events"),
    Sync("list", "clevertap", [(2, 5)], delivery="custom_list"),
    Sync("moe", "moengage", [(1, 2), (2, 3), (2, 2)], on_unknown="resend"),
    Sync("lyt", "lytics", [(1, 2), (2, 3)], on_unknown="resend"),
    Sync("import", "lytics", [(2, 3), (2, 2)], kind="event_import"),
    Sync("export", "amplitude", [(2, 4), (2, 2)], kind="event_export", on_unknown="resend"),
    Sync("identify", "amplitude", [(2, 3)], kind="identify", delivery="identify"),
]
# Syncs of which a second copy of a row would do harm, and those whose unknown rows therefore wait
# for a person.
COUNTED = ("ct", "import", "export")
HELD_BACK = ("ct", "import")


def emulators() -> Emulators:
    """The vendors, taking `Partner Sync` and as many requests a minute as come."""
    return Emulators(
        clevertap=ClevertapSwitches(partner_sync_restricted=False),
        moengage=MoengageSwitches(cohort_requests_a_minute=None),
    )


def keys_of(sync: Sync, *phases: int) -> set[str]:
    """The keys of a sync, of some phases or all."""
    return {
        key_of(sync.name, number, position)
        for number, (phase, rows) in enumerate(sync.requests, start=1)
        for position in range(rows)
        if not phases or phase in phases
    }


class World:
    """One home beside a set of emulators, which several may share.

    Args:
        folder: The home.
        vendors: Running.
        kinds: Which of `SYNCS` are planned.
        tag: Goes into every key, so that worlds do not see one another's.
    """

    def __init__(
        self, folder: Path, vendors: Emulators, kinds: Sequence[str] = (), *, tag: str = ""
    ) -> None:
        self.vendors = vendors
        self.environ = {**vendors.environ, "RELAY_NOW": "2026-03-02T12:00:00Z"}
        self.settings: Settings = settings_in(folder, **self.environ)
        self.syncs = {
            sync.name: replace(sync, name=f"{sync.name}{tag}")
            for sync in SYNCS
            if not kinds or sync.name in kinds
        }
        self.plan: Plan = seal(self.settings.home, list(self.syncs.values()))
        if "list" in self.syncs:
            for key in self.keys("list"):
                vendors.clevertap.add_profile(identity=key)
        if "moe" in self.syncs:
            vendors.moengage.add_users(self.keys("moe"))
            self._add_to_moengage()
        if "lyt" in self.syncs:
            self._add_to_lytics()

    def _add_to_moengage(self) -> None:
        """Who is to be removed is in the segment."""
        env = self.settings.env
        assert env.moengage_api_key is not None
        workspace = str(env.moengage_workspace_id)
        httpx.post(
            f"{env.moengage_host()}/v1/integrations/cohortsync",
            content=body_of(self.syncs["moe"], 1).replace("remove_members", "add_members"),
            headers={"MOE-APPKEY": workspace, "Content-Type": "application/json"},
            auth=(workspace, env.moengage_api_key.get_secret_value()),
        ).raise_for_status()

    def _add_to_lytics(self) -> None:
        env = self.settings.env
        assert env.lytics_api_token is not None
        members = {"cohort_membership": True, "synced_at": "2026-03-01T12:00:00Z"}
        httpx.post(
            f"{env.lytics_host()}/collect/json/amplitude_cohorts",
            json=[record_of(self.syncs["lyt"], 1, n) | members for n in range(2)],
            params={"timestamp_field": "synced_at"},
            headers={"Authorization": env.lytics_api_token.get_secret_value()},
        ).raise_for_status()

    def keys(self, kind: str, *phases: int) -> set[str]:
        """The keys of a sync, of some phases or all."""
        return keys_of(self.syncs[kind], *phases)

    # --- what the vendors hold -------------------------------------------------------------------

    def copies(self, kind: str) -> Counter[str]:
        """How often each key of a sync that counts was stored."""
        found: Counter[str] = Counter()
        if kind == "ct":
            events = self.vendors.clevertap.state()["events"]
            found = Counter(event["key_value"] for event in events)
        elif kind == "export":
            found = Counter(event["user_id"] for event in self.vendors.amplitude.ingested())
        else:
            for key in self.keys(kind):
                profile = self.vendors.lytics.profile("amplitude_user_id", key) or {}
                found[key] = int(profile.get("amplitude_events", {}).get("Song Played", 0))
        keys = self.keys(kind)
        return Counter({key: number for key, number in found.items() if number and key in keys})

    def members(self, kind: str) -> set[str]:
        """The keys of a sync that are in its segment."""
        if kind == "moe":
            found = self.vendors.moengage.members("Cart")
        elif kind == "lyt":
            found = {value for _, value in self.vendors.lytics.members("c1")}
        else:
            found = {value for _, value in self.vendors.clevertap.list_members("Cart")}
        return found & self.keys(kind)

    def assert_segments_are_right(self) -> None:
        """Every segment has who was added and nobody who was removed."""
        for kind in ("moe", "lyt", "list"):
            if kind in self.syncs:
                assert self.members(kind) == self.keys(kind, 2), kind
        for key in self.keys("identify") if "identify" in self.syncs else ():
            properties = self.vendors.amplitude.user_properties(key)
            assert properties == {"CleverTap_Identity": f"ct-{key}"}

    def assert_everything_arrived_once(self) -> None:
        """The vendors hold the truth: every segment right, nothing twice."""
        self.assert_segments_are_right()
        for kind in COUNTED:
            if kind in self.syncs:
                assert self.copies(kind) == Counter(dict.fromkeys(self.keys(kind), 1)), kind

    # --- what the ledger says --------------------------------------------------------------------

    def outcomes(self, kind: str) -> dict[str, str]:
        """The outcome of each key of a sync, from the ledger alone."""
        name = self.syncs[kind].name
        with Ledger.open(self.settings.home) as ledger:
            history = histories(ledger.lines(self.plan.plan_id)).get(name, SyncHistory())
        found = {}
        for request, size in read_all_outgoing(self.plan)[name].requests.items():
            state = history.state(request, size.rows)
            rejected = {rejection.position for rejection in state.rejected}
            for position in range(size.rows):
                outcome = "delivered"
                if None in rejected or position in rejected:
                    outcome = "rejected"
                elif position in state.unknown:
                    outcome = "unknown"
                elif position in state.pending:
                    outcome = "pending"
                found[key_of(name, request, position)] = outcome
        return found

    def assert_the_ledger_tells_the_truth(self) -> None:
        """What is said to be delivered is there, what is said not to be is not; nothing twice."""
        allowed = {"delivered": {1}, "rejected": {0}, "pending": {0}, "unknown": {0, 1}}
        for kind in COUNTED:
            copies = self.copies(kind) if kind in self.syncs else Counter()
            for key, outcome in self.outcomes(kind).items() if kind in self.syncs else ():
                assert copies[key] in allowed[outcome], (kind, key, outcome, copies[key])
