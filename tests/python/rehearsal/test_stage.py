"""A world on the stage: what the emulated Amplitude answers is what the world says."""

import csv
import gzip
import io
import json
import zipfile

import httpx

from relay.emulate import Emulators
from relay.emulate.clock import Clock
from relay.rehearsal.stage import stage_amplitude
from relay.rehearsal.world import World


def test_the_emulator_answers_what_the_world_says() -> None:
    world = World(people=160, days=3, events_per_person=6)
    clock = Clock(world.at(1).now, frozen=True)
    with Emulators(clock=clock) as emulators:
        environ = emulators.environ
        stage_amplitude(emulators.amplitude, world.at(1))
        clock.set(world.at(2).now)
        stage_amplitude(emulators.amplitude, world.at(2), since=world.at(1).now)
        with httpx.Client(
            base_url=environ["AMPLITUDE_API_URL"],
            auth=(environ["AMPLITUDE_API_KEY"], environ["AMPLITUDE_SECRET_KEY"]),
        ) as client:
            hours = "start=20260615T00&end=20260618T21"
            archive = zipfile.ZipFile(io.BytesIO(client.get(f"/api/2/export?{hours}").content))
            listed = client.get("/api/3/cohorts").json()["cohorts"]
            request = client.get("/api/5/cohorts/request/1638361188").json()["request_id"]
            while client.get(f"/api/5/cohorts/request-status/{request}").status_code == 202:
                clock.advance(30)
            file = client.get(f"/api/5/cohorts/request/{request}/file", follow_redirects=False)
            if file.status_code == 302:
                file = httpx.get(file.headers["location"])
    exported = [
        json.loads(line)["uuid"]
        for name in archive.namelist()
        for line in gzip.decompress(archive.read(name)).splitlines()
    ]
    moment = world.at(2)
    assert sorted(exported) == sorted(row["uuid"] for _, rows in moment.events() for row in rows)
    assert listed == [cohort.listing for cohort in moment.cohorts()]
    assert [tuple(row) for row in csv.reader(file.text.splitlines())][1:] == list(
        moment.cohort("1638361188").rows
    )
