"""`signoff new` begins a project that works as it is: its tests pass, and its team runs, asks and acts."""

import asyncio
import json
import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import warm
from langgraph_sdk import Auth
from starlette.testclient import TestClient

from signoff import Ledger
from signoff.checkpoints.ledger import Person
from signoff.error_base import SettingsError
from signoff.settings import load_settings

ROOT = Path(__file__).parents[3]

SIGNOFF = (sys.executable, "-m", "signoff")
NOTEBOOK = """
import json, os
os.chdir("notebooks")
cells = json.load(open("first_run.ipynb"))["cells"]
exec("\\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"))
from shop.team import graph
import asyncio
print(type(asyncio.run(graph())).__name__)
"""


def said(cwd: Path, *words: str) -> Any:
    return warm.run([*words], cwd=cwd, capture_output=True, text=True)


@pytest.fixture
def shop(home: Path) -> Path:
    """A project, begun in an empty folder."""
    done = said(home, *SIGNOFF, "new", "shop", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["team"] == "shop.team:team"
    return home / "shop"


def test_the_tests_of_a_new_project_pass(shop: Path) -> None:
    done = said(shop, sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider")
    assert done.returncode == 0, done.stdout
    assert "5 passed" in done.stdout


def test_what_is_told_as_next_is_called_from_the_projects_folder(home: Path) -> None:
    script = home / "bin" / "signoff"
    script.parent.mkdir()
    script.write_text("from signoff.__main__ import main\n\nmain()\n")
    done = said(home, sys.executable, "bin/signoff", "new", "shop")
    called, *words = done.stderr.splitlines()[3].split()
    assert words == ["run", "shop.team:team"], done.stderr
    assert (home / "shop" / called).resolve() == script.resolve()


@pytest.mark.parametrize("package", ["pytest", "jsonschema"])
def test_where_its_tests_need_a_package_more_it_is_told_how_they_get_it(
    home: Path, signoff: Any, monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    assert signoff("new", "stall").err.splitlines()[-1].strip() == "pytest"
    monkeypatch.setattr("signoff.desk.project.new.find_spec", lambda name: None if name == package else True)
    assert [line.strip() for line in signoff("new", "other").err.splitlines()[-2:]] == [
        "pip install -e '.[dev]'",
        "pytest",
    ]


def test_what_waits_is_told_with_all_that_an_edit_needs_and_a_receipt_is_for_people(shop: Path) -> None:
    asked = said(shop, *SIGNOFF, "run", "shop.team:team")
    assert " --set NAME=VALUE\n" in asked.stderr
    [one] = json.loads(said(shop, *SIGNOFF, "approvals", "--json").stdout)
    done = said(shop, *SIGNOFF, "approve", one["id"], "--yes")
    assert ": 80.00 euros to Ann (no model calls, $0)" in " ".join(done.stderr.split())
    shown = said(shop, *SIGNOFF, "show", one["run_id"]).stdout
    assert "_at: " not in shown.replace("expires_at: ", "")


def test_a_team_named_by_its_package_alone_is_told_with_the_module_that_has_it(shop: Path) -> None:
    wrong = said(shop, *SIGNOFF, "run", "shop:team")
    assert wrong.returncode == 1
    assert "the module has no 'team'. It is a module in it: shop.team:NAME" in wrong.stderr


@pytest.mark.parametrize("inside", [True, False], ids=["in it", "above it"])
def test_its_team_runs_and_acts_once_it_is_approved(shop: Path, inside: bool) -> None:
    here = shop if inside else shop.parent
    waits = said(here, *SIGNOFF, "run", "shop.team:team", "--json")
    assert waits.returncode == 3, waits.stderr
    done = said(here, *SIGNOFF, "approve", json.loads(waits.stdout)["approval"], "--yes")
    assert done.returncode == 0, done.stderr
    assert json.loads((here / "refunds.jsonl").read_text())["euros"] == 80


def test_its_notebook_runs_and_its_graph_is_one_for_a_server(shop: Path) -> None:
    done = said(shop, sys.executable, "-c", NOTEBOOK)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "done | Dear Ann, you get 80.00 euros back. The lamp is said to be broken.\nStateGraph\n"
    served = json.loads((shop / "langgraph.json").read_text())["graphs"]["shop"]["path"]
    assert (shop / served.partition(":")[0]).is_file()


def test_its_container_is_built_of_what_is_there_and_nothing_is_left_to_fill_in(shop: Path) -> None:
    files = [path for path in shop.rglob("*") if path.is_file()]
    assert [path.name for path in files if "{{" in path.read_text() or path.suffix == ".tmpl"] == []
    copied = [line.split()[1] for line in (shop / "Dockerfile").read_text().splitlines() if line.startswith("COPY")]
    assert copied == ["wheels/", "shop/"]
    assert "pip wheel --no-deps -w wheels" in (shop / "Dockerfile").read_text()
    assert (shop / "shop").is_dir()
    assert [path.name for path in shop.parent.iterdir()] == ["shop"], "nothing else is left"


@pytest.mark.parametrize("file", ["of a project", "of signoff itself"])
def test_what_langgraph_json_names_lets_in_whom_the_ledger_knows_and_is_a_page_for_them(
    shop: Path, file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = shop if file == "of a project" else ROOT
    found = json.loads((place / "langgraph.json").read_text())
    named = [found["auth"]["path"], found["http"]["app"]]
    auth, app = (getattr(import_module(module), name) for module, _, name in (each.partition(":") for each in named))
    assert (found["auth"]["disable_studio_auth"], found["http"]["disable_a2a"]) == (True, True)
    if file == "of signoff itself":  # a project's image has the extra, this one's has what that is made of
        extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
        assert found["dependencies"] == [".", *extras["web"]]
    ledger = Ledger(load_settings().database_name)
    token = ledger.people.give_key(Person("ann"), "token", days=1, by="root")
    ledger.close()
    asyncio.run(auth._authenticate_handler({"authorization": f"Bearer {token}"}))
    with pytest.raises(Auth.exceptions.HTTPException, match="Sign in"):
        asyncio.run(auth._authenticate_handler({"authorization": "Bearer nobody"}))
    for variable, address in (
        ("", "http://localhost:2024"),
        ("LANGGRAPH_API_URL", "http://127.0.0.1:8123"),
        ("SIGNOFF_ADDRESS", "https://agents.example.org"),
    ):
        if variable:
            monkeypatch.setenv(variable, address)
        with TestClient(app, base_url=address, follow_redirects=False) as browser:
            signed_in = browser.post("/desk/sign-in", data={"token": token}, headers={"origin": address})
            assert (signed_in.status_code, browser.get("/desk").headers["location"]) == (303, "/desk/")
            assert "Nothing waits for you" in browser.get("/desk/").text
            assert browser.get("/desk/", headers={"host": "evil.example.org"}).status_code == 421
    monkeypatch.setenv("SIGNOFF_TENANT", "acme")
    with pytest.raises(SettingsError, match="SIGNOFF_TENANT"), TestClient(app):
        pass


def test_langgraph_server_gets_an_image_with_what_the_team_needs(shop: Path) -> None:
    command = (sys.executable, "-m", "langgraph_cli", "dockerfile", "made", "-c", "langgraph.json")
    done = subprocess.run(command, cwd=shop, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = (shop / "made").read_text().splitlines()
    wheel = next(number for number, line in enumerate(lines) if "/wheels/signoff-*.whl" in line)
    own = next(number for number, line in enumerate(lines) if line == "ADD . /deps/shop")
    assert "ADD wheels /wheels" in lines[:wheel]
    assert wheel < own, "signoff is there before the project is installed"
    assert any("LANGGRAPH_CHECKPOINTER" in line and "signoff.checkpoints" in line for line in lines)
    assert any('"path": "/deps/shop/shop/team.py:graph"' in line for line in lines)
    assert '"$(echo /wheels/signoff-*.whl)[web]"' in lines[wheel], "its people and its page need the extra"
    for served in (
        'LANGGRAPH_AUTH=\'{"path": "signoff.desk.protocols.',
        'LANGGRAPH_HTTP=\'{"app": "signoff.desk.protocols.',
    ):
        assert any(served in line for line in lines), lines
    kept = (shop / ".dockerignore").read_text().splitlines()
    assert kept[0] == "*"
    assert {"!shop", "!wheels", "!pyproject.toml"} <= {*kept}


def test_a_folder_that_is_there_is_not_touched(home: Path, signoff: Any) -> None:
    (home / "a_kiosk").mkdir()
    done = signoff("new", "a_kiosk")
    assert done.code == 1
    assert "signoff: NAME: 'a_kiosk' is here already. Choose another name" in done.err
    assert list((home / "a_kiosk").iterdir()) == []


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("My-Shop", "One that would do: my_shop"),
        ("class", "One that would do: team_class"),
        ("9lives", "One that would do: team_9lives"),
        ("../shop", "One that would do: shop"),
        ("", "One that would do: shop"),
        ("größe", "small letters, digits and _"),
        ("x" * 41, "40 at most"),
        ("tests", "Call it tests_team"),
        ("json", "Call it json_team"),
        ("signoff", "Call it signoff_team"),
        ("langgraph", "Call it langgraph_team"),
    ],
)
def test_a_name_that_cannot_be_is_refused_with_one_that_can(home: Path, signoff: Any, name: str, problem: str) -> None:
    done = signoff("new", name)
    assert done.code == 1
    assert problem in done.err
    assert list(home.iterdir()) == []


def test_a_model_that_is_asked_for_works_in_a_team_that_has_none_yet(home: Path) -> None:
    from signoff import Agent, Artifact, Team
    from signoff.graphs.teams.own import TeamModule, with_model
    from signoff.settings import load_settings

    class Note(Artifact):
        pass

    told = Agent(role="writer", gives=Note, function=lambda _: Note(), instructions="Write a note.")
    plain = Agent(role="reader", gives=Note, function=lambda _: Note())
    loaded = TeamModule(Team(name="notes", agents=[told, plain]), "notes:team", home)
    writer, reader = with_model(loaded, "openai:some", load_settings(api_key="k")).team.agents
    assert writer.model is not None
    assert reader.model is None
