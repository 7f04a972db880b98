"""`relay explain`: one person from any identifier, with the evidence; clear errors for the rest."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from duckdb import DuckDBPyConnection

from identity_builds import IdentityBuilds
from identity_world import World, person_id_of, uuid_of
from relay.cli.main import relay
from relay.errors import ConfigurationError, NotFoundError
from relay.report.explain import explain
from relay.report.health import identity_health

ROB = person_id_of("amplitude_id:default:152")
ALONE = person_id_of("amplitude_id:default:151")


@pytest.fixture(scope="module")
def world(identity_builds: IdentityBuilds, tmp_path_factory: pytest.TempPathFactory) -> World:
    """Rob, once anonymous on his device, in a cohort that goes to CleverTap; and who is nobody."""
    world = World(identity_builds, tmp_path_factory.mktemp("world"))
    world.namespace("3", "partner_org")
    world.event(8, 151, None, "r-1", name="x1")
    world.event(1, 640, "none", "t-1")
    world.event(1, 60, "Undefined", "b-1")
    world.build()
    world.event(2, 640, "none", "t-2")
    world.event(9, 152, "Rob", "r-1", name="x2")
    world.event(10, 152, "Rob", "r-2", name="x3", properties={"CleverTap_Identity": "Rob-9"})
    world.event(11, 160, "Zoe", "kiosk")
    world.event(11, 161, "Yan", "kiosk")
    world.event(1, 70, "u1", app=1)
    world.event(3, 71, "u1", app=3)
    world.cohort("7", [(151, "")])
    world.sync("c", "7", "clevertap", ["CleverTap_Identity"])
    world.build()
    connection = world.connection
    connection.execute("create schema cohorts; create schema reports")
    connection.execute(
        "create table cohorts.memberships as select '7' as cohort_id, person_id,"
        " timestamp '2026-03-01 23:00' as valid_from, null::timestamp as valid_to"
        " from identity.keys"
    )
    connection.execute(
        "create table reports.deliveries as select 'plan' as plan_id, 'c' as sync_name,"
        " 'clevertap' as destination, '7' as cohort_id, 'object_id' as key_type,"
        " 'r-1' as key_value, 'added' as action, 'delivered' as outcome, 'entered' as reason,"
        " 'change' as change_id, ['amplitude_id:default:151'] as anchors,"
        " timestamp '2026-03-01 08:30' as planned_at, timestamp '2026-03-01 08:31' as attempted_at,"
        " timestamp '2026-03-01 08:32' as confirmed_at"
    )
    return world


@pytest.mark.parametrize(
    "identifier",
    [
        *(
            "Rob",
            " Rob ",
            "152",
            "151",
            "user_id:Rob",
            "user_id:{default}Rob",
            "user_id:default:Rob",
        ),
        *("amplitude_id:151", "r-1", "r-2", "device_id:r-1", "Rob-9", "rob-9", ROB, ALONE),
    ],
)
def test_any_identifier_of_a_person_gives_the_person(world: World, identifier: str) -> None:
    assert explain(world.connection, identifier)["person_id"] == ROB


def test_the_document_tells_who_why_where_and_what_was_sent(world: World) -> None:
    document = explain(world.connection, "Rob")
    assert document["former_person_ids"] == [ALONE]
    assert [(one["id_type"], one["id_value"]) for one in document["ids"]] == [
        ("amplitude_id", "151"),
        ("amplitude_id", "152"),
        ("user_id", "Rob"),
    ]
    assert [one["device_id"] for one in document["devices"]] == ["r-2", "r-1"]
    assert [(one["link_class"], one["decision"]) for one in document["links"]] == [
        ("device", "followed"),
        ("observed", "followed"),
    ]
    assert document["memberships"] == [
        {
            "cohort_id": "7",
            "cohort_name": "Cohort 7",
            "valid_from": "2026-03-01T23:00:00Z",
            "valid_to": None,
        }
    ]
    assert [
        (one["destination"], one["key_type"], one["key_value"]) for one in document["keys"]
    ] == [("clevertap", "identity", "Rob-9")]
    # It was sent to the device's person of that time, who is Rob now.
    assert [(one["key_value"], one["outcome"]) for one in document["deliveries"]] == [
        ("r-1", "delivered")
    ]
    assert json.loads(json.dumps(document)) == document


def test_a_second_identifier_is_told_why_it_is_the_same_person(world: World) -> None:
    path = explain(world.connection, "151", "amplitude_id:152")["path"]
    assert path["is_one_person"]
    assert [
        (step["from_id_value"], step["to_id_value"], step["link_class"], step["first_seen_at"])
        for step in path["steps"]
    ] == [
        ("151", "Rob", "device", "2026-03-01T09:00:00Z"),
        ("Rob", "152", "observed", "2026-03-01T09:00:00Z"),
    ]
    assert not explain(world.connection, "Rob", "Zoe")["path"]["is_one_person"]


def test_what_means_several_persons_is_refused_with_their_names(world: World) -> None:
    with pytest.raises(ConfigurationError) as refusal:
        explain(world.connection, "kiosk")
    assert "known of 2 persons" in str(refusal.value)
    assert person_id_of("amplitude_id:default:160") in str(refusal.value)


def test_one_value_in_two_namespaces_is_told_apart_by_its_namespace(world: World) -> None:
    with pytest.raises(ConfigurationError, match="partner_org"):
        explain(world.connection, "u1")
    person = explain(world.connection, "user_id:{partner_org}u1")
    assert person["anchor"] == "amplitude_id:partner_org:71"


@pytest.mark.parametrize(
    ("identifier", "problem"),
    [
        ("rob", "nobody is known by 'rob'"),
        ("p_" + "0" * 32, "no person ever had the id"),
        ("Undefined", "is a placeholder"),
        ("640", "shared by strangers on 2 devices"),
        (person_id_of("amplitude_id:default:640"), "names nobody any more"),
    ],
)
def test_who_is_nobody_is_told_why(world: World, identifier: str, problem: str) -> None:
    with pytest.raises(NotFoundError, match=problem):
        explain(world.connection, identifier)


def test_the_command(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RELAY_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    _publish(world.connection, tmp_path)

    def run(*arguments: str) -> Result:
        return CliRunner().invoke(relay, ["explain", *arguments])

    assert json.loads(run("Rob", "--json").stdout)["person_id"] == ROB
    told = run("151", "--with", "Rob")
    assert told.exit_code == 0
    assert "one person" in told.stdout
    assert f"device r-1: anonymous row {uuid_of('x1')}, known row {uuid_of('x2')}" in told.stdout
    assert f"former ids: {ALONE}" in told.stdout
    assert told.stdout.splitlines()[-1] == f"{ROB}: 3 identifiers, 1 memberships, 1 deliveries"
    assert run("nobody").exit_code == 1
    assert run("kiosk").exit_code == 2


def _publish(connection: DuckDBPyConnection, home: Path) -> None:
    (home / "warehouse").mkdir(exist_ok=True)
    connection.execute(f"attach '{home}/warehouse/analytics.duckdb' as copy")
    connection.execute("copy from database memory to copy; detach copy")


def test_doctor_tells_the_health_of_identity(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = {one["finding"]: one for one in identity_health(world.connection)}
    assert {name: one["count"] for name, one in found.items()} == {
        "contaminated_id": 1,
        "junk_value": 2,
    }
    assert found["junk_value"]["largest"][0]["id_value"] == "none"
    monkeypatch.setenv("RELAY_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    _publish(world.connection, tmp_path)
    told = CliRunner().invoke(relay, ["doctor", "--identity"])
    assert told.exit_code == 0
    assert "strangers on this many devices share it, sent as user none" in told.stdout
    document = json.loads(CliRunner().invoke(relay, ["doctor", "--identity", "--json"]).stdout)
    assert document["identity"] == list(found.values())
