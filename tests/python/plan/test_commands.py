"""What a person types: the documents, the exit codes, the errors."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from apply.sealed import KEYS
from plan.desk import CART, LOYAL, Desk, Open
from relay.apply.ledger import Ledger
from relay.cli.main import relay


class Terminal:
    """`relay …` in one home, as a person or a script runs it."""

    def __init__(self, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
        self.desk = desk
        for name in (*KEYS, "RELAY_HOME", "RELAY_NOW"):
            monkeypatch.delenv(name, raising=False)
        self._environ = KEYS | {"RELAY_HOME": str(desk.folder)}
        monkeypatch.setattr("relay.apply.commands.build", lambda _: desk.rebuild_ledger())
        assert desk.settings

    def __call__(self, *arguments: str) -> tuple[int, Any]:
        environ = self._environ | {"RELAY_NOW": self.desk.at.isoformat()}
        result = CliRunner().invoke(relay, [*arguments, "--json"], env=environ)
        return result.exit_code, json.loads(result.stdout)


@pytest.fixture
def terminal(open_desk: Open, monkeypatch: pytest.MonkeyPatch) -> Terminal:
    return Terminal(open_desk(), monkeypatch)


def by_name(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {sync["name"]: sync for sync in document["syncs"]}


def test_a_plan_is_shown_confirmed_by_hand_and_taken_back(terminal: Terminal) -> None:
    desk = terminal.desk
    desk.let_in(CART, *(f"u{number:02}" for number in range(60)))
    desk.let_in(LOYAL, "ann")
    code, planned = terminal("plan")
    assert code == 0
    assert {"plan_id", "plan_hash", "path", "syncs"} <= planned.keys()
    keys = (
        "name destination cohort_id added removed unchanged unaddressable suppressed state reason"
    )
    assert set(keys.split()) <= by_name(planned)["ct"].keys()
    plan_id = planned["plan_id"]
    assert (Path(planned["path"]) / "manifest.json").is_file()
    code, shown = terminal("show", plan_id, "ct", "--rows", "3")
    assert (code, len(shown["syncs"]), len(shown["syncs"][0]["rows"])) == (0, 1, 3)
    assert json.loads(shown["syncs"][0]["bodies"][0])["d"][0]["identity"] == "U00"
    # By hand to CleverTap; the other is still to be sent.
    assert terminal("confirm", plan_id, "ct") == (
        0,
        {"plan_id": plan_id, "syncs": [{"name": "ct", "rows": 60}]},
    )
    code, members = terminal("members", "ct")
    assert (code, len(members["members"])) == (0, 60)
    code, status = terminal("status")
    assert {one["name"]: (one["confirmed"], one["pending"]) for one in status["syncs"]} == {
        "ct": (60, 0),
        "moe": (0, 1),
    }
    code, told = terminal("history")
    (ct,) = (one for one in told["history"] if one["sync"] == "ct")
    assert (ct["planned"], ct["delivered"], ct["superseded"]) == (60, 60, 0)
    # The guard holds what takes it back.
    desk.wait()
    code, undone = terminal("undo", plan_id)
    assert (code, by_name(undone)["ct"]["reason"]) == (3, "would remove 60 of 60, limit 30 %")
    assert terminal("confirm", undone["plan_id"], "ct")[0] == 0
    assert terminal("members", "ct")[1]["members"] == []
    assert len(terminal("members", "ct", "--as-of", "2026-03-02T12:00:00Z")[1]["members"]) == 60


def test_what_was_lost_is_resolved_and_a_pause_is_a_pause(terminal: Terminal) -> None:
    desk = terminal.desk
    desk.let_in(CART, "ann")
    plan_id = terminal("plan", "ct")[1]["plan_id"]
    with Ledger.open(desk.settings.home) as ledger:
        ledger.append("sending", at=desk.at, plan_id=plan_id, sync="ct", request=1, attempt=1)
    assert by_name(terminal("plan", "ct")[1])["ct"]["in_doubt"] == 1
    resolved = {"plan_id": plan_id, "syncs": [{"name": "ct", "rows": 1}]}
    assert terminal("resolve", plan_id, "--unknown", "delivered") == (0, resolved)
    assert [member["key_value"] for member in terminal("members", "ct")[1]["members"]] == ["ANN"]
    desk.let_in(CART, "bo")
    assert terminal("pause", "ct") == (0, {"sync": "ct", "paused": True})
    assert by_name(terminal("plan", "ct")[1])["ct"]["state"] == "paused"
    assert terminal("resume", "ct") == (0, {"sync": "ct", "paused": False})
    assert by_name(terminal("plan", "ct")[1])["ct"]["state"] == "ready"


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["show", "20260302T120000Z-00000000"], 1, "there is no plan 20260302T120000Z-00000000"),
        (["apply", "nope"], 1, "there is no plan nope in .*; newest plans: none, run `relay plan`"),
        (["undo", "nope"], 1, "there is no plan nope"),
        (["confirm", "nope"], 1, "there is no plan nope"),
        (["resolve", "nope", "--unknown", "resend"], 1, "there is no plan nope"),
        (["plan", "carts"], 2, "there is no sync 'carts' in .*; known: ct, moe"),
        (["plan", "--adopt", "carts"], 2, "there is no sync 'carts'"),
        (["pause", "carts"], 2, "there is no sync 'carts'; known: ct, moe"),
        (["pause", "ct-typo"], 2, "there is no sync 'ct-typo'; known: ct, moe"),
    ],
)
def test_what_does_not_exist_is_a_named_error(
    terminal: Terminal, arguments: list[str], code: int, message: str
) -> None:
    found, document = terminal(*arguments)
    assert found == code
    with pytest.raises(LookupError, match=message):
        raise LookupError(document["error"]["message"])


def test_a_damaged_ledger_is_told_before_anything_is_sealed(terminal: Terminal) -> None:
    desk = terminal.desk
    desk.let_in(CART, "ann")
    plan_id = terminal("plan", "ct")[1]["plan_id"]
    assert terminal("confirm", plan_id)[0] == 0
    desk.wait()
    desk.let_in(CART, "ann", "bo")
    home = desk.settings.home
    path = home.ledger / f"{plan_id}.ndjson"
    whole = path.read_text(encoding="utf-8")
    for text, problem in (
        (f"{whole}garbage\n", f"ledger/{path.name}, line 2: "),
        ("", "had 1 lines and now has 0"),
    ):
        path.write_text(text, encoding="utf-8")
        for command in (("plan",), ("apply", plan_id)):
            code, document = terminal(*command)
            assert (code, problem in document["error"]["message"]) == (1, True), (command, document)
    assert [file.parent.name for file in home.outbox.glob("*/manifest.json")] == [plan_id]
    path.write_text(whole, encoding="utf-8")
    assert by_name(terminal("plan", "ct")[1])["ct"]["added"] == 1


def test_a_number_of_rows_below_zero_is_a_wrong_call(terminal: Terminal) -> None:
    desk = terminal.desk
    desk.let_in(CART, "ann")
    plan_id = terminal("plan", "ct")[1]["plan_id"]
    environ = KEYS | {"RELAY_HOME": str(desk.folder)}
    refused = CliRunner().invoke(relay, ["show", plan_id, "--rows", "-1"], env=environ)
    assert (refused.exit_code, "-1 is not in the range x>=0" in refused.stderr) == (2, True)
    assert terminal("show", plan_id, "ct", "--rows", "0")[1]["syncs"][0]["rows"] == []
