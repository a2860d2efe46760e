"""Recorded runs exported as tests: they pass as exported, and fail once the team would go another way.

One file, as all of it is about one shop: what may become of its run, and what may be changed about it.
"""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import pytest

from signoff import Run
from signoff.checkpoints.ledger.approval import Person
from signoff.errors import NotRecorded, SignoffError
from signoff.fleet.recording import record

SHOP = Path(__file__).parent / "programs" / "shop.py"


class Shop:
    """A team of one's own in a module, which can be changed."""

    def __init__(self, path: Path, signoff: Any) -> None:
        self.path, self._signoff, self._recording = path, signoff, ExitStack()
        self.change("", "")

    def change(self, old: str, new: str) -> None:
        """Write the module anew, with this changed."""
        text = (self.path if self.path.exists() else SHOP).read_text()
        assert old in text
        self.path.write_text(text.replace(old, new, 1))
        sys.modules.pop("shop", None)

    @property
    def world(self) -> dict[str, Any]:
        import shop  # written by the test

        world: dict[str, Any] = shop.WORLD
        return world

    def start(self, **options: Any) -> Run:
        """A run that is recorded from now on."""
        import shop

        run = Run.start(shop.team(), "pay ann", drive=False, **options)
        self._recording.enter_context(record(run, "shop.jsonl"))
        return run.resume()

    def end(self) -> None:
        """End the recording, if there is one."""
        self._recording.close()

    def try_to_export(self, *words: str) -> Any:
        """What is said when the run is exported as it stands now."""
        self.end()
        return self._signoff("export", "shop.jsonl", *(words or ("--test", "out/test_shop.py", "--team", "shop:team")))

    def export(self) -> Path:
        """Export the run as it stands now, which plays it again first."""
        said = self.try_to_export()
        assert said.code == 0, said.err
        return Path("out/test_shop.py")

    def export_ending(self) -> Any:
        """What the run came to, as the exported test knows it."""
        lines = self.export().with_suffix(".jsonl").read_text().splitlines()
        return json.loads(lines[-1])["ending"]["ending"]


@pytest.fixture
def shop(home: Path, signoff: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    monkeypatch.syspath_prepend(home)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    shop = Shop(home / "shop.py", signoff)
    yield shop
    shop.end()
    sys.modules.pop("shop", None)


def play(test: Path, folder: Path) -> None:
    """Run an exported test here."""
    spec = spec_from_file_location(test.stem, test)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    (function,) = [found for name, found in vars(module).items() if name.startswith("test_")]
    function(folder)


def failing(test: Path, folder: Path) -> str:
    """Which assertion of an exported test fails."""
    folder.mkdir()
    with pytest.raises(AssertionError) as failed:
        play(test, folder)
    return str(failed.traceback[-1].statement).strip()


def approve(run: Run, shop: Shop) -> None:
    run.approve(by="eve", reason="fine")


def reject(run: Run, shop: Shop) -> None:
    run.reject("pay less", by="eve").approve(by="bob")
    assert shop.world["paid"] == [3]


def reject_for_good(run: Run, shop: Shop) -> None:
    assert run.reject(by="eve").status == "stopped"


def respond(run: Run, shop: Shop) -> None:
    run.respond("is that right?", by="eve").approve()


def edit(run: Run, shop: Shop) -> None:
    run.approve(by="eve", args={"to": "ann", "euros": 4})
    assert shop.world["paid"] == [4]


def fail(run: Run, shop: Shop) -> None:
    shop.world["fails"] = "no money left"
    run.approve()


def lose_and_find(run: Run, shop: Shop) -> None:
    shop.world["breaks"] = 1
    run.approve(by="eve").approve(by="eve")  # it happened after all


def lose_and_call_again(run: Run, shop: Shop) -> None:
    shop.world["breaks"] = 1
    asked = run.approve(by="eve")
    assert asked.approval is not None
    asked.approve(by="bob", args={**asked.approval.shown, "happened": "no"})
    assert shop.world["paid"] == [5]


def give_up(run: Run, shop: Shop) -> None:
    shop.world["breaks"] = 1
    run.approve().reject(by="bob")


def expire(run: Run, shop: Shop) -> None:
    assert run.approval is not None
    from sqlalchemy import update

    from signoff.checkpoints.canonical import later
    from signoff.checkpoints.ledger.schema import approvals

    ledger = run.team.ledger
    assert ledger is not None
    with ledger.write() as connection:
        connection.execute(update(approvals).values(expires_at=later(-1)))
    run.resume()


def revoke(run: Run, shop: Shop) -> None:
    ledger, asked = run.team.ledger, run.approval
    assert ledger is not None
    assert asked is not None
    ledger.approvals.approve(asked.id, by="eve", sha256=asked.shown_sha256)
    ledger.approvals.revoke(asked.id, by="eve", reason="on second thoughts")
    run.resume()


def leave(run: Run, shop: Shop) -> None:
    assert run.status == "waiting"


DECISIONS: list[Callable[[Run, Shop], None]] = [
    approve,
    reject,
    reject_for_good,
    respond,
    edit,
    fail,
    lose_and_find,
    lose_and_call_again,
    give_up,
    expire,
    revoke,
    leave,
]


@pytest.mark.parametrize("decide", DECISIONS)
def test_whatever_people_decided_it_passes_as_exported(shop: Shop, decide: Callable[[Run, Shop], None]) -> None:
    run = shop.start()
    decide(run, shop)
    paid = list(shop.world["paid"])
    ending = shop.export_ending()
    assert ending["status"] == run.status
    assert ending["route"][:3] == ["buyer", "clerk", "auditor"]
    assert shop.world["paid"] == paid, "nothing is paid again"


def test_steps_that_failed_and_work_that_was_rejected_are_played_again(shop: Shop) -> None:
    shop.world.update({"clerk fails": 1, "rejects": 1})
    run = shop.start()
    run.approve()
    shop.world.update({"clerk fails": 1, "rejects": 1})  # functions meet the world as it is
    assert shop.export_ending()["route"] == ["buyer", "clerk", "clerk", "auditor", "clerk", "auditor"]


def test_a_team_that_asked_whether_to_go_on_is_played_again(shop: Shop) -> None:
    shop.world["clerk fails"] = 2
    run = shop.start()
    assert run.approval is not None
    assert run.approval.action == "continue_run"
    run.approve(args={"turns": 9, "instructions": "fill in ink"}, by="eve")
    run.approve()
    shop.world["clerk fails"] = 2
    shop.export()


def test_a_dry_run_is_played_again_as_one(shop: Shop) -> None:
    run = shop.start(dry_run=True)
    run.approve()
    assert shop.export_ending()["outcomes"][0]["status"] == "skipped"


def test_several_people_with_roles_decide_again(shop: Shop) -> None:
    shop.change('Policy({"pay": "ask"})', 'Policy({"pay": Ask(role="finance", quorum=2)})')
    run = shop.start()
    ledger = run.team.ledger
    assert ledger is not None
    ledger.people.give("eve", "finance", by="root")
    run.approve(by="eve").approve(by=Person("bob", frozenset({"finance"})))
    assert run.status == "done"
    shop.export()


def test_what_the_supervisors_model_chose_is_chosen_again(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGNOFF_PRICES", '{"scripted": 0}')
    shop.change("        *MORE,", '        Agent(role="temp", needs=(Order,), gives=Invoice, function=invoice),')
    shop.change(
        "supervisor=Supervisor()",
        'supervisor=Supervisor(model=ScriptedModel([says(\'{"next": "temp", "reason": "cheaper"}\')]))',
    )
    run = shop.start()
    run.approve()
    shop.change("cheaper", "dearer")
    assert shop.export_ending()["route"] == ["buyer", "temp", "auditor"]


def test_a_supervisor_whose_model_did_not_answer_asks_a_person_again(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIGNOFF_PRICES", '{"scripted": 0}')
    shop.change("        *MORE,", '        Agent(role="temp", needs=(Order,), gives=Invoice, function=invoice),')
    shop.change("supervisor=Supervisor()", "supervisor=Supervisor(model=ScriptedModel([says('hm')] * 9))")
    run = shop.start()
    assert run.approval is not None
    assert run.approval.action == "continue_run"
    shop.export()


def test_what_policy_allows_or_denies_is_played_again(shop: Shop) -> None:
    shop.change('{"pay": "ask"}', '{"pay": "allow"}')
    shop.start()
    shop.export()


def test_what_a_model_proposes_and_what_follows_from_its_work_are_both_played_again(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIGNOFF_PRICES", '{"scripted": 0}')
    shop.change('{"pay": "ask"}', '{"pay": "ask", "tip": "ask"}')
    shop.change(
        "function=check, actions=(PAY,)",
        'model=ScriptedModel([calls("tip", euros=1), gives(Check(about="Invoice", accepted=True))]), '
        "actions=(PAY,), tools=(tip,)",
    )
    run = shop.start()
    while run.approval is not None:
        run = run.approve(approval=run.approval.id)
    assert shop.world["paid"] == [1, 5]
    shop.change("calls(", "says('hm'), calls(")
    assert [proposal["action"] for proposal in shop.export_ending()["proposals"]] == ["tip", "pay"]
    assert shop.world["paid"] == []


CHANGES = {
    "allowed now": ('{"pay": "ask"}', '{"pay": "allow"}', "proposals"),
    "denied now": ('{"pay": "ask"}', '{"pay": "deny"}', "proposals"),
    "others must decide now": ('{"pay": "ask"}', '{"pay": Ask(role="finance")}', "proposals"),
    "another amount is proposed": ("task.need(Invoice).euros", "task.need(Invoice).euros + 1", "proposals"),
    "another artifact is made": ("return Order(euros=5)", "return Order(euros=6)", "artifacts"),
    "another order": (
        '        Agent(role="buyer", gives=Order, function=order),\n'
        '        Agent(role="clerk", needs=(Order,), gives=Invoice, function=invoice),',
        '        Agent(role="clerk", gives=Invoice, function=invoice),\n'
        '        Agent(role="buyer", gives=Order, function=order),',
        "route",
    ),
    "an agent more": (
        "        *MORE,",
        "        Agent(role='scribe', gives=Stock, function=lambda task: Stock()),",
        "route",
    ),
    "an agent less": (
        '        Agent(role="buyer", gives=Order, function=order),\n        Agent(role="clerk", needs=(Order,),',
        '        Agent(role="buyer", gives=Order, function=order),\n        Agent(role="clerk2", needs=(Order,),',
        "route",
    ),
}


def test_it_fails_once_the_team_would_go_another_way(shop: Shop, tmp_path: Path) -> None:
    run = shop.start()
    run.approve(by="eve")
    test, text = shop.export(), shop.path.read_text()
    play(test, tmp_path)
    for change, (old, new, what) in CHANGES.items():
        shop.change(old, new)
        assert failing(test, tmp_path / change) == f"assert now.{what} == then.{what}", change
        shop.change(shop.path.read_text(), text)


def test_it_fails_once_a_models_answer_is_used_otherwise_or_another_question_is_asked(
    shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIGNOFF_PRICES", '{"scripted": 0}')
    shop.change("gives=Invoice, function=invoice", "gives=Invoice, model=ScriptedModel([gives(Invoice(euros=7))])")
    run = shop.start()
    run.approve(by="eve")
    test, text = shop.export(), shop.path.read_text()
    shop.change("ScriptedModel([gives(Invoice(euros=7))])", "ScriptedModel([])")
    play(test, tmp_path)
    shop.change("gives=Invoice, ", "gives=Invoice, check=lambda made, task: Invoice(euros=made.euros + 1), ")
    assert failing(test, tmp_path / "used otherwise") == "assert now.artifacts == then.artifacts"
    shop.change(shop.path.read_text(), text)
    shop.change("gives=Invoice, ", "gives=Invoice, instructions='Be quick.', ")
    with pytest.raises(NotRecorded) as missed:
        play(test, tmp_path / "asked otherwise")
    assert "quick" in missed.value.difference


def test_a_run_whose_budget_was_raised_is_played_again_without_one(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGNOFF_PRICES", '{"scripted": 0}')
    shop.change("gives=Invoice, function=invoice", "gives=Invoice, model=ScriptedModel([gives(Invoice(euros=7))])")
    run = shop.start(budget="tokens=1")
    assert run.approval is not None
    assert run.approval.action == "raise_budget"
    run.approve(by="eve").approve(by="eve")
    assert run.status == "done"
    assert [proposal["action"] for proposal in shop.export_ending()["proposals"]] == ["pay"]


def test_secrets_are_not_exported(shop: Shop, tmp_path: Path) -> None:
    key = "sk-test-0123456789abcdefghij"
    shop.change('to="ann"', f'to="{key}"')
    run = shop.start()
    run.approve(reason=f"with {key}")
    test = shop.export()
    assert key not in test.with_suffix(".jsonl").read_text()
    play(test, tmp_path)


def test_what_cannot_be_exported_is_told_and_nothing_is_written(shop: Shop) -> None:
    shop.start()
    for words, said in (
        (["--test", "out/x.txt", "--team", "shop:team"], "no name of a test"),
        (["--test", "shop.py", "--team", "shop:team"], "is there already"),
        (["--test", "out/test_x.py"], "Name it, if it is in a module: --team MODULE:NAME"),
        (["--test", "out/test_x.py", "--team", "shop"], "names no team in it"),
        (["--test", "out/test_x.py", "--team", "shop:nothing"], "has no 'nothing'"),
        (["--test", "out/test_x.py", "--team", "shop:WORLD"], "no Team"),
    ):
        told = shop.try_to_export(*words)
        assert told.code == 1
        assert said in told.err
    assert not Path("out").exists()


def test_of_a_run_that_nobody_recorded_one_line_says_what_to_do(shop: Shop, signoff: Any) -> None:
    run = shop.start()
    told = signoff("export", run.id, "--test", "out/test_x.py", "--team", "shop:team")
    assert told.code == 1
    assert told.err.count("\n") == 1
    assert "--record FILE" in told.err
    assert not Path("out").exists()


def test_of_a_recording_that_does_not_say_how_it_ended_the_way_to_the_first_question_is_tested(
    shop: Shop, tmp_path: Path
) -> None:
    run = shop.start()
    run.approve()
    shop.end()
    header, *_ = Path("shop.jsonl").read_text().splitlines()
    about = {name: value for name, value in json.loads(header)["about"].items() if name in ("team", "goal", "settings")}
    Path("shop.jsonl").write_text(json.dumps({"signoff_tape": 1, "about": about}) + "\n")
    ending = shop.export_ending()
    assert (ending["status"], [proposal["status"] for proposal in ending["proposals"]]) == ("waiting", ["pending"])
    play(Path("out/test_shop.py"), tmp_path)
    shop.change('{"pay": "ask"}', '{"pay": "allow"}')
    assert failing(Path("out/test_shop.py"), tmp_path / "now") == "assert now.proposals == then.proposals"


def test_a_run_that_would_not_go_as_it_went_is_not_exported(shop: Shop) -> None:
    run = shop.start()
    run.approve()
    shop.change('{"pay": "ask"}', '{"pay": "deny"}')
    told = shop.try_to_export()
    assert told.code == 1
    assert "does not go as it went: its proposals[0].status is 'rejected', and was 'approved'" in told.err
    assert not Path("out").exists()


def test_of_long_texts_the_place_is_told_where_they_differ(shop: Shop) -> None:
    shop.change('to="ann"', f'to="{"x" * 999}ann"')
    shop.start()
    shop.change('ann"', 'bob"')
    told = shop.try_to_export().err
    assert "its proposals[0].args.to is …" in told
    assert "xxxbob', and was …" in told
    assert "xxxann'. Nothing was written." in told


def test_a_run_that_is_to_go_on_is_not_exported(shop: Shop) -> None:
    run = shop.start()
    ledger, asked = run.team.ledger, run.approval
    assert ledger is not None
    assert asked is not None
    ledger.approvals.approve(asked.id, by="eve", sha256=asked.shown_sha256)
    assert "does not go as it went: its outcomes[0] is" in shop.try_to_export().err
    with record(run, "shop.jsonl"):
        ledger.runs.set_status(run.id, "running")
    assert "it was cut off; resume it with --record" in shop.try_to_export().err
    assert not Path("out").exists()


def test_a_run_that_stopped_in_the_middle_of_a_step_is_played_to_there(shop: Shop) -> None:
    shop.change("return Order(euros=5)", "raise SourcesError('no catalogue')")
    with pytest.raises(SignoffError):
        shop.start()
    assert shop.export_ending()["status"] == "failed"


def test_a_run_that_failed_and_was_resumed_is_played_to_its_end(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGNOFF_PRICES", '{"scripted": 0}')
    model = "ScriptedModel([fails(401), gives(Invoice(euros=7))])"
    shop.change("gives=Invoice, function=invoice", f"gives=Invoice, model={model}")
    with pytest.raises(SignoffError):
        shop.start()
    import shop as module

    shop.end()
    run = Run.open(json.loads(Path("shop.jsonl").read_text().splitlines()[0])["about"]["run"], team=module.team())
    shop.change("fails(401), ", "")
    import shop as mended

    run = Run.open(run.id, team=mended.team())
    with record(run, "shop.jsonl"):
        run.resume().approve(by="eve")
    ending = shop.export_ending()
    assert (ending["status"], ending["route"]) == ("done", ["buyer", "clerk", "auditor"])
