"""Teams of somebody's own at the command line: their input as options, and their runs found again."""

import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

LEADS = Path(__file__).parents[1] / "cli" / "programs" / "leads.py"


class Project:
    """A folder with a team of somebody's own, as a new process finds it each time."""

    def __init__(self, home: Path, signoff: Any) -> None:
        self.file, self._signoff = home / "leads.py", signoff
        self.change("", "")

    def change(self, old: str, new: str) -> None:
        text = (self.file if self.file.exists() else LEADS).read_text()
        assert old in text
        self.file.write_text(text.replace(old, new, 1))

    def __call__(self, *words: object) -> Any:
        for name in [name for name in sys.modules if name.partition("_")[0] == "leads"]:
            del sys.modules[name]
        return self._signoff(*words)

    def run(self, *words: object) -> Any:
        """What is known of a run that was started with these words, and waits."""
        said = self("run", "leads.py:team", *words)
        assert said.code == 3, said.err
        return self.last()

    def last(self) -> Any:
        return self("show", self("runs", "--json").json[0]["id"], "--json").json

    def approval(self) -> str:
        return str(self("approvals", "--json").json[0]["id"])


@pytest.fixture
def project(home: Path, signoff: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    path = list(sys.path)
    yield Project(home, signoff)
    sys.path[:] = path
    sys.modules.pop("leads", None)


def test_the_help_of_a_team_shows_the_options_of_its_input(project: Project) -> None:
    said = project("run", "leads.py:team", "--help")
    told = " ".join(said.out.split())
    assert said.code == 0
    for shown in (
        "--campaign TEXT Which campaign it is. [required]",
        "--limit INT How many at most. [default: 10]",
        "--tags TEXT Only these. Can be given several times.",
        "--mode fast|slow [default: fast]",
        "--level 1|2 [default: 1]",
        "--region north|south",
        "--deep / --no-deep",
        "--place JSON",
        "--stops JSON Can be given several times.",
        "--input-budget INT Money. [default: 3]",
        "--key SECRET",
        "--input FILE",
        "--budget LIMIT",
    ):
        assert shown in told
    assert told.startswith("Usage: signoff run leads.py:team [OPTIONS] [GOAL] Give the team leads a goal; ")
    assert "Leads for a campaign." in told
    assert "--sources" not in told
    assert "imported from" in said.err
    assert "--sources" in project("run", "--help").out


def test_each_kind_of_option_comes_to_the_team_as_its_type_and_is_stored_and_shown(project: Project) -> None:
    found = project.run(
        *("--campaign", "spring", "--limit", "5", "--tags", "a", "--tags", "b", "--mode", "slow", "--level", "2"),
        *("--region", "south", "--deep", "--place", '{"city": "Ulm"}', "--stops", '{"city": "Bonn"}'),
        *("--input-budget", "7", "--budget", "$2"),
    )
    assert found["goal"] == "Find 5 leads for spring"
    assert found["input"] == {
        "campaign": "spring",
        "limit": 5,
        "tags": ["a", "b"],
        "mode": "slow",
        "level": 2,
        "region": "south",
        "deep": True,
        "place": {"city": "Ulm"},
        "stops": [{"city": "Bonn"}],
        "budget": 7,
        "key": None,
    }
    assert found["state"]["run"]["input"] == found["input"]
    assert found["options"]["run budget"] == {"usd": 2.0}
    assert '  campaign: "spring"' in project("show", found["id"]).out


def test_a_file_or_standard_input_gives_all_at_once_and_options_come_before_it(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = json.dumps({"campaign": "summer", "limit": 7, "goal": "Go"})
    Path("given.json").write_text(whole)
    found = project.run("--input", "given.json", "--limit", "8")
    assert (found["goal"], found["input"]["campaign"], found["input"]["limit"]) == ("Go", "summer", 8)
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"\ufeff{whole}"))  # as some shells write it
    found = project.run("--input", "-", "Another goal")
    assert (found["goal"], found["input"]["limit"]) == ("Another goal", 7)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "Invalid value for --campaign: is missing."),
        (["--campaign", "x", "--limit", "0"], "Invalid value for --limit: 0 is not usable"),
        (["--campaign", "x", "--limit", "many"], "Invalid value for --limit: 'many' is not usable"),
        (["--campaign", "x", "--mode", "quick"], "Invalid value for --mode"),
        (["--campaign", "x", "--level", "3"], "Invalid value for --level"),
        (["--campaign", "x", "--place", "Ulm"], "Invalid value for --place: takes JSON, an object with city: "),
        (["--campaign", "x", "--place", '{"town": 1}'], "Invalid value for --place (city): is missing."),
        (["--campaign", "x", "--input-budget", "x"], "Invalid value for --input-budget"),
        (["--campaign", "x", "--key", "hunter2hunter2"], "Invalid value for --key: takes the name of a secret"),
        (["--campaign", "sk-test-0123456789abcdefghij"], "Invalid value for --campaign: looks like a secret"),
        (["--campaign", "x", "--sources", "docs"], "No such option: --sources"),
        (["--campaign", "x", "--goal", "a", "b"], "Invalid value for --goal: is given twice"),
        (["--input", "none.json"], "Invalid value for --input: there is no file 'none.json'"),
        (["--input", "list.json"], "holds no JSON object"),
        (["--input", "twice.json"], "'limit' is there twice"),
        (["--input", "more.json"], "Invalid value for --colour: is no field of its input"),
    ],
)
def test_a_wrong_option_is_named_and_no_run_is_begun(project: Project, words: list[str], says: str) -> None:
    Path("list.json").write_text("[1]")
    Path("twice.json").write_text('{"limit": 1, "limit": 2}')
    Path("more.json").write_text('{"campaign": "x", "colour": "red"}')
    said = project("run", "leads.py:team", *words)
    assert said.code == 2
    assert says in said.err
    assert "Try 'signoff run leads.py:team --help' for help." in said.err
    assert "hunter2" not in said.err
    assert "0123456789" not in said.err
    assert project("runs", "--json").json == []


def test_who_approves_edits_or_rejects_need_not_name_the_team_again(project: Project) -> None:
    for words, sent in (
        (["approve"], ("spring", 5)),
        (["edit", "--set", "to=ann"], ("ann", 5)),
        (["reject", "--why", "no"], None),
    ):
        project.run("--campaign", "spring", "--limit", "5")
        said = project(words[0], project.approval(), *words[1:])
        assert said.code == 0, said.err
        assert said.err.count("Team leads: leads:team, imported from") == 1
        import leads

        assert [(mail.to, mail.count) for mail in leads.SENT] == ([sent] if sent else [])
        assert project.last()["status"] == ("done" if sent else "stopped")


def test_a_decision_is_kept_where_the_team_cannot_be_imported_and_goes_on_once_it_is_named(project: Project) -> None:
    found = project.run("--campaign", "spring")
    moved = project.file.rename("moved.py")
    said = project("approve", project.approval())
    assert said.code == 1
    assert "send approved by" in said.err
    assert "there is no module 'leads'" in said.err
    assert f"If its file moved: signoff resume {found['id']} --team FILE.py:team." in said.err
    assert project("resume", found["id"], "--team", f"{moved}:team").code == 0
    assert project.last()["status"] == "done"


def test_a_run_that_is_kept_in_a_folder_above_says_so(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    project.run("--campaign", "spring")
    Path("below").mkdir()
    monkeypatch.chdir("below")
    said = project("run", "../leads.py:team", "--campaign", "spring")
    assert (said.code, "of a folder above this one" in said.err) == (3, True)


def test_what_lies_outside_of_the_project_is_imported_only_when_it_is_named_again(
    project: Project, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    away = project.file.rename(outside / "leads.py")
    assert project("run", f"{away}:team", "--campaign", "spring").code == 3
    said = project("approve", project.approval())
    assert said.code == 1
    assert "is not a module of this project" in said.err
    assert "imported from" not in said.err
    found = project.last()
    shown = project("show", found["id"]).out
    assert f"resume {found['id']} --team MODULE:NAME" in " ".join(shown.split())
    assert project("resume", found["id"], "--team", f"{away}:team").code == 0


def test_another_team_is_not_taken_for_the_runs_own(project: Project) -> None:
    found = project.run("--campaign", "spring")
    Path("others.py").write_text(project.file.read_text().replace('name="leads"', 'name="others"'))
    said = project("resume", found["id"], "--team", "others:team")
    assert (said.code, said.err.count("\n")) == (1, 2)
    assert f"'others:team' is the team 'others', and run {found['id']} is of 'leads'" in said.err


def test_a_team_called_as_a_ready_made_one_is_still_ones_own(project: Project) -> None:
    project.change('name="leads"', 'name="report"')
    project.run("--campaign", "spring")
    assert project("approve", project.approval()).code == 0
    assert project.last()["status"] == "done"


def test_an_input_that_changed_meanwhile_is_told_unless_what_was_given_still_fits(project: Project) -> None:
    project.run("--campaign", "spring")
    project.change("deep: bool = False", "shallow: bool = True")
    assert project("approve", project.approval()).code == 0
    project.run("--campaign", "spring")
    project.change("    shallow: bool = True", "    must: str")
    said = project("approve", project.approval())
    assert said.code == 1
    assert "LeadsInput does not take any more: must is missing" in said.err
    project.change("    must: str", "    must: str = ''")
    assert project("resume", project.last()["id"]).code == 0
    assert project.last()["status"] == "done"


def test_a_recorded_run_is_replayed_and_exported_with_what_it_was_given(project: Project) -> None:
    found = project.run("--campaign", "spring", "--record", "run.jsonl")
    assert project("resume", found["id"], "--record", "run.jsonl", "--yes").code == 0
    said = project("run", "--replay", "run.jsonl", "--yes")
    assert said.code == 0, said.err
    assert "imported from" in said.err
    assert project.last()["input"] == found["input"]
    assert project("export", "run.jsonl", "--test", "out/test_leads.py").code == 0
    assert "from leads import team as team" in Path("out/test_leads.py").read_text()


def test_a_team_without_an_input_takes_a_goal(project: Project) -> None:
    project.change("input=LeadsInput, ", "")
    project.change("given: LeadsInput = task.input\n", "")
    project.change("given.campaign, *given.tags", "task.goal,")
    project.change("count=task.input.limit", "count=1")
    found = project.run("spring")
    assert (found["goal"], found["input"]) == ("spring", {})
    assert project("graph", "leads:team").code == 0


def test_a_run_that_a_program_started_is_resumed_here_once_its_team_is_named(project: Project) -> None:
    from signoff import Run

    sys.path.insert(0, str(project.file.parent))
    import leads

    run = Run.start(leads.team, leads.LeadsInput(campaign="spring"))
    said = project("approve", project.approval())
    assert said.code == 0
    assert f'Run.open("{run.id}", team=…).resume() finds the decision' in said.err
    assert f"resume {run.id} --team MODULE:NAME" in said.err
    assert project("resume", run.id).code == 1
    assert project("resume", run.id, "--team", "leads:team").code == 0


def test_a_run_with_the_name_of_a_secret_is_replayed_where_there_are_no_secrets(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = Path("secrets.toml")
    file.write_text('[secrets.crm]\nvalue = "a-long-secret"\nrules = [{hosts = ["crm.test"], tools = ["look"]}]\n')
    file.chmod(0o600)
    monkeypatch.setenv("SIGNOFF_SECRETS", str(file.absolute()))
    found = project.run("--campaign", "spring", "--key", "crm", "--record", "run.jsonl")
    assert found["input"]["key"] == "crm"
    assert project("resume", found["id"], "--record", "run.jsonl", "--yes").code == 0
    monkeypatch.delenv("SIGNOFF_SECRETS")
    said = project("run", "--replay", "run.jsonl", "--yes")
    assert said.code == 0, said.err
    assert project("audit", "verify").code == 0
    for kept in (*Path(".signoff").iterdir(), Path("run.jsonl")):
        assert not kept.is_file() or b"a-long-secret" not in kept.read_bytes()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["run", "leads.py"], "'leads.py': names no team in it. Write it like leads.py:team"),
        (["run", "leads.py:teem", "x"], "has no 'teem'. Its teams: team"),
        (["run", "laeds:team", "--help"], "Near it is leads"),
        (["graph", "leads.py:find"], "'find' needs task"),
        (["mcp", "serve", "leads:scout"], "'scout' is a Agent, no Team. Its teams: team"),
        (["run", "report", "what is a:b?", "--sources", "nowhere"], "No folder"),
    ],
)
def test_a_team_that_is_not_there_is_one_line_on_standard_error(project: Project, words: list[str], says: str) -> None:
    said = project(*words)
    assert (said.code, said.out) == (1, "")
    assert said.err.startswith("signoff: ")
    assert says in said.err
