"""Evals on the page: which are kept, one of them case by case and version by version, and what a run of it came to."""

from pathlib import Path
from typing import Any

from signoff import Agent, Artifact, Task, Team
from signoff.fleet.evals import Evaluation, evaluate


class Note(Artifact):
    text: str


def team(says: str) -> Team:
    return Team(name="notes", agents=[Agent(role="clerk", gives=Note, function=lambda task: made(task, says))])


def made(task: Task, says: str) -> Note:
    return Note(text=f"{task.goal} {says}")


CASES: list[dict[str, Any]] = [
    {"id": name, "goal": f"<b>{name}</b>", "expect": {"contains": {"Note.text": wanted}}}
    for name, wanted in (("first", "loud"), ("second", "second"))
]


def address(done: Evaluation) -> str:
    of, found = Path(done.results[0].recording).parts[-4:-2]
    return f"/fleet/evals/{of}/{found}"


def test_without_evals_it_says_how_there_come_some(ann: Any) -> None:
    shown = ann.shows("/fleet/evals")
    assert "No evals here." in shown
    assert "signoff eval TEAM cases.jsonl" in shown


def test_evals_are_listed_with_the_newest_first_and_one_shows_cases_by_versions(ann: Any) -> None:
    first = evaluate({"loud": team("loud"), "calm": team("loud")}, CASES)
    done = evaluate({"loud": team("loud"), "calm": team("calm")}, CASES)
    shown = ann.shows("/fleet/evals")
    assert shown.count("notes-evals") == 2
    assert "loud 2/2, calm 1/2" in shown
    html = ann.get("/fleet/evals").text
    assert html.index(address(done)) < html.index(address(first))
    shown = ann.shows(address(done))
    assert "calm is worse than loud: 1 of 2 pass, not 2." in shown
    assert "calm got worse since" in shown
    assert "first got worse" in shown
    assert "Note.text lacks 'loud'" in shown
    (failed,) = [one for one in done.results if not one.passed]
    assert f"{address(done)}/runs/{failed.run}" in ann.get(address(done)).text
    shown = ann.shows(f"{address(done)}/runs/{failed.run}")
    assert "Note.text lacks 'loud'" in shown
    assert '"<b>first</b> calm"' in shown
    assert "signoff run --replay" in shown


def test_what_is_cut_off_torn_or_elsewhere_says_so(ann: Any, home: Path) -> None:
    done = evaluate(team("loud"), CASES)
    file = Path(done.results[0].recording)
    file.write_text("{")
    assert "Its recording is not here" in ann.shows(f"{address(done)}/runs/{done.results[0].run}")
    results = file.parents[1] / "results.jsonl"
    lines = results.read_text().splitlines()
    results.write_text("\n".join([*lines[:2], '{"version": "no']))
    assert "1 of 2 results are there" in ann.shows(address(done))
    results.write_text("{")
    assert "cannot be read" in ann.shows("/fleet/evals")
    for path in (
        address(done),
        "/fleet/evals/%2e%2e/%2e%2e",
        "/fleet/evals/none/none",
        f"{address(done)}/runs/r-none",
    ):
        assert ann.get(path).status_code == 404, path


def test_of_what_is_listed_only_so_many_are_read_and_older_ones_follow(ann: Any, home: Path) -> None:
    done = evaluate(team("loud"), CASES)
    folder = Path(done.results[0].recording).parents[1]
    for number in range(25):
        (older := folder.parent / f"20000101{number:012}-1").mkdir()
        (older / "results.jsonl").write_text((folder / "results.jsonl").read_text())
    html = ann.get("/fleet/evals").text
    assert html.count("data-row") == 20
    older_ones = ann.get(f"/fleet/evals?after=20000101{6:012}-1").text
    assert older_ones.count("data-row") == 6
    assert "Older ones" in html
    assert "Older ones" not in older_ones
