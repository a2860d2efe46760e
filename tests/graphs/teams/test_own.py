"""Teams of somebody's own: what is named is found and imported, and a database's word alone imports little."""

import os
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from signoff import Team
from signoff.errors import NotImportable, NotTrusted
from signoff.graphs.teams.catalog import OWN
from signoff.graphs.teams.own import load_stored, load_team
from signoff.settings import load_settings

TEAM = """
from functools import cache

from signoff import Agent, Artifact, Team

class Note(Artifact):
    pass

def work(task):
    return Note()

team = Team(name="{name}", agents=[Agent(role="scout", gives=Note, function=work)])

def build():
    return Team(name="built", agents=team.agents)

def annotated(size=3) -> Team:
    return team

def indirect():
    return build()

def delete_everything():
    open("deleted", "w").close()

def start_something():
    made = Team(name="built", agents=team.agents)
    open("deleted", "w").close()

def counts() -> int:
    open("deleted", "w").close()
    return Team(name="built", agents=team.agents)

@cache
def kept():
    made = Team(name="built", agents=team.agents)
    return made

class Callable:
    @property
    def __annotations__(self):
        open("deleted", "w").close()
        return {}

    def __call__(self):
        return team

callable = Callable()

def needy(size):
    return team

async def later():
    return team

def fails():
    raise LookupError("no such thing")

def other():
    return 3

class Thing:
    pass

graph, compiled, number = team.graph(), team.compile(), 3
"""


@pytest.fixture(autouse=True)
def imports() -> Iterator[None]:
    """Nothing that a test imports, and no folder that it is found in, is left for the next."""
    path, modules = list(sys.path), set(sys.modules)
    yield
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        del sys.modules[name]


def write(file: Path, text: str = TEAM, name: str = "leads") -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text.replace("{name}", name))
    return file


def load(named: str) -> Any:
    return load_team(named, load_settings())


def stored(**told: Any) -> Any:
    return load_stored({OWN: told}, load_settings())


def test_a_team_is_named_by_its_module_or_its_file_and_found_again_by_either(home: Path) -> None:
    write(home / "leads.py")
    write(home / "shop" / "__init__.py", "")
    write(home / "shop" / "teams.py", "from shop.parts import NAME\n" + TEAM, "shop")
    write(home / "shop" / "parts.py", "NAME = 1")
    write(home / "src" / "my-team.py", name="dashed")
    write(home / "loose" / "orders.py", name="loose")
    for named, module, folder in (
        ("leads:team", "leads", "."),
        ("leads.py:team", "leads", "."),
        (f"{home}/leads.py:team", "leads", "."),
        ("shop.teams:team", "shop.teams", "."),
        ("shop/teams.py:team", "shop.teams", "."),
        ("src/my-team.py:team", "my-team", "src"),
        ("loose.orders:team", "loose.orders", "."),
        ("loose/orders.py:team", "orders", "loose"),
    ):
        found = load(named)
        assert found.team.options == {OWN: {"module": module, "name": "team", "folder": folder}}, named
        again = load_stored(found.team.options, load_settings())
        assert again is not None
        assert (again.team, again.file) == (found.team, found.file)
        assert str(found.file) in str(found)


def test_a_function_that_makes_a_team_is_called(home: Path) -> None:
    write(home / "leads.py")
    assert load("leads:build").team.name == "built"
    assert load("leads:annotated").team.name == "leads"
    assert load("leads:indirect").team.name == "built"


@pytest.mark.parametrize(
    ("named", "says"),
    [
        ("leads.py", "names no team in it. Write it like leads.py:team"),
        ("leads:", "names no team in it"),
        (":team", "names no team in it"),
        ("leads:te am", "names no team in it"),
        ("leads:team.name", "names no team in it"),
        ("le ads:team", "is no name of a module"),
        ("laeds:team", "there is no module 'laeds' in .* Near it is leads"),
        ("laeds.py:team", "there is no file 'laeds.py'. Near it is leads.py"),
        ("leads.teams:team", "there is no module 'leads.teams'"),
        ("leads:tema", "has no 'tema'. Its teams: team"),
        ("leads:number", "'number' is a int, no Team. Its teams: team"),
        ("leads:Thing", "'Thing' is the class Thing, no Team"),
        ("leads:Team", "'Team' is the class Team, no Team"),
        ("leads:graph", "'graph' is a graph; name the Team"),
        ("leads:compiled", "'compiled' is a graph already compiled; name the Team"),
        ("leads:needy", "'needy' needs size"),
        ("leads:later", "'later' makes a coroutine, no Team"),
        ("leads:other", "'other' makes a int, no Team"),
        ("leads:fails", r"it fails at .*leads.py:\d+: LookupError: no such thing"),
        ("sys:path", "is no file of Python code"),
        ("broken:team", r"it fails at .*broken.py:2: NameError: name 'x' is not defined"),
        ("unreadable:team", r"it fails at .*unreadable.py:1: SyntaxError"),
        ("leaves:team", r"it fails at .*leaves.py:2: SystemExit: 3"),
        ("wrong:team", r"it fails at .*wrong.py:2: TeamError: "),
        ("empty:team", "has no 'team'. It has no team"),
    ],
)
def test_a_name_that_leads_to_no_team_is_one_line_that_says_why_and_what_there_is(
    home: Path, named: str, says: str
) -> None:
    write(home / "leads.py")
    write(home / "broken.py", "\nx\n")
    write(home / "unreadable.py", "def (:\n")
    write(home / "leaves.py", "import sys\nsys.exit(3)\n")
    write(home / "wrong.py", "from signoff import Team\nTeam(agents=[], policies={'x': None})\n")
    write(home / "empty.py", "")
    with pytest.raises(NotImportable, match=says) as caught:
        load(named)
    assert "\n" not in str(caught.value)
    assert named.partition(":")[0] not in sys.modules or named.startswith(("leads", "sys", "empty"))


def test_two_modules_of_one_name_are_two(home: Path) -> None:
    write(home / "one" / "leads.py", name="one")
    write(home / "two" / "leads.py", name="two")
    write(home / "json.py", name="json")
    assert [load(f"{folder}/leads.py:team").team.name for folder in ("one", "two", "one")] == ["one", "two", "one"]
    assert load("json.py:team").team.name == "json"
    assert sys.modules["json"].__name__ == "json"
    assert hasattr(sys.modules["json"], "dumps")


def test_a_module_that_is_installed_is_found_but_only_as_often_as_it_is_named(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "elsewhere" / "installed_team.py")
    monkeypatch.syspath_prepend(tmp_path / "elsewhere")
    found = load("installed_team:team")
    assert found.team.options == {OWN: {"module": "installed_team", "name": "team"}}
    with pytest.raises(NotTrusted, match="is not a module of this project"):
        load_stored(found.team.options, load_settings())


MARK = "open('imported', 'w').close()\n"


def test_nothing_outside_of_the_project_is_imported_on_a_databases_word(home: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    write(outside / "evil.py", MARK + TEAM)
    write(home / ".signoff" / "evil.py", MARK + TEAM)
    write(home / ".hidden" / "evil.py", MARK + TEAM)
    write(home / "env" / "lib" / "site-packages" / "evil.py", MARK + TEAM)
    write(home / "pack" / "evil.py", MARK + TEAM)
    (home / "linked.py").symlink_to(outside / "evil.py")
    (home / "link").symlink_to(outside)
    (home / "pack" / "__init__.py").symlink_to(outside / "evil.py")
    for folder, module in (
        (str(outside), "evil"),
        ("../outside", "evil"),
        (".signoff", "evil"),
        (".", ".signoff.evil"),
        (".hidden", "evil"),
        ("env/lib/site-packages", "evil"),
        (".", "linked"),
        ("link", "evil"),
        (".", "link.evil"),
        (".", "pack.evil"),
        (os.path.dirname(os.__file__), "this"),
        (".", "../outside/evil"),
        (".", "os"),
        (None, "antigravity"),
        (3, "evil"),
        (".", 3),
    ):
        with pytest.raises((NotTrusted, NotImportable)):
            stored(folder=folder, module=module, name="team")
    with zipfile.ZipFile(home / "data.zip", "w") as archive:
        archive.writestr("evil.py", MARK + TEAM)
    write(home / "venv" / "bin" / "evil.py", MARK + TEAM)
    (home / "venv" / "pyvenv.cfg").touch()
    write(home / "Site-Packages" / "evil.py", MARK + TEAM)
    for folder, module in (
        ("data.zip", "evil"),
        ("venv/bin", "evil"),
        ("Site-Packages", "evil"),
        (".", "x" * 5000),
        ("x" * 5000, "evil"),
        ("\0", "evil"),
    ):
        with pytest.raises((NotTrusted, NotImportable)):
            stored(folder=folder, module=module, name="team")
    with pytest.raises(NotTrusted):
        load_stored({OWN: "leads:team"}, load_settings())
    assert not Path("imported").exists()
    assert not {"evil", "antigravity", "this"} & set(sys.modules)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root gives files away")
def test_another_users_file_is_not_imported_on_a_databases_word(home: Path) -> None:
    file = write(home / "leads.py", MARK + TEAM)
    options = load("leads:team").team.options
    sys.modules.pop("leads")
    Path("imported").unlink()
    os.chown(file, 12_345, -1)
    with pytest.raises(NotTrusted, match="belongs to another user"):
        load_stored(options, load_settings())
    assert not Path("imported").exists()


def test_a_function_of_the_project_is_called_on_a_databases_word_only_if_it_says_that_it_makes_a_team(
    home: Path,
) -> None:
    write(home / "leads.py")
    for name in ("annotated", "build", "kept"):
        assert isinstance(stored(folder=".", module="leads", name=name).team, Team)
    for name in ("delete_everything", "indirect", "start_something", "counts", "callable"):
        with pytest.raises(NotTrusted, match="does not say that it makes a Team"):
            stored(folder=".", module="leads", name=name)
    assert not Path("deleted").exists()


def test_a_project_that_was_moved_finds_its_team_where_it_is_now(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(home / "src" / "leads.py")
    options = load("src/leads.py:team").team.options
    home.rename(tmp_path / "moved")
    monkeypatch.chdir(tmp_path / "moved")
    sys.modules.pop("leads")
    found = load_stored(options, load_settings())
    assert found is not None
    assert found.file == (tmp_path / "moved" / "src" / "leads.py").resolve()


def test_where_no_folder_holds_a_signoff_nothing_is_imported_by_itself(home: Path) -> None:
    write(home / "leads.py")
    with pytest.raises(NotTrusted, match=r"no folder of a project holds a \.signoff"):
        load_stored({OWN: {"folder": ".", "module": "leads", "name": "team"}}, load_settings(home=home / "kept"))


def test_a_module_that_became_another_since_is_not_imported_in_its_place(home: Path, tmp_path: Path) -> None:
    write(home / "leads.py")
    options = load("leads:team").team.options
    sys.modules.pop("leads")
    (home / "leads.py").unlink()
    write(tmp_path / "other" / "leads.py", MARK + TEAM)
    sys.path.insert(0, str(tmp_path / "other"))
    with pytest.raises(NotImportable, match="there is no module 'leads'"):
        load_stored(options, load_settings())
    write(home / "leads.so", "no library")
    (home / "leads").mkdir()
    with pytest.raises((NotImportable, NotTrusted)):
        load_stored(options, load_settings())
    assert not Path("imported").exists()
