"""Teams of somebody's own, found by `module:attribute` or `path/to/file.py:attribute`, and found again for their runs.

What a person names is imported as Python would. What a database names is imported only from a file of the project
that the database belongs to: whoever made the database may be somebody else.
"""

from __future__ import annotations

import ast
import inspect
import os
import sys
import sysconfig
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import partial
from importlib import invalidate_caches
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from textwrap import dedent
from types import FunctionType, ModuleType
from typing import Any, Final

from langgraph.graph import StateGraph
from langgraph.pregel import Pregel

from signoff.agents.models import load_models
from signoff.checkpoints import digest_text
from signoff.error_base import SettingsError
from signoff.graphs.errors import NotImportable, NotTrusted
from signoff.graphs.team import Team
from signoff.graphs.teams.catalog import OWN
from signoff.settings import ADMINISTRATOR, Settings, foreign_owner

MODEL: Final = "run model"
"""Where a run's options keep which model does the work of those of its agents that have one."""
_ROOMS: Final = ("signoff", "graphs", "agents", "tools", "checkpoints")
_FOREIGN: Final = {"site-packages", "dist-packages", "node_modules", "__pypackages__"}
"""User id of whoever installs things for all."""


@dataclass(frozen=True)
class TeamModule:
    """A team that was imported, and where from."""

    team: Team
    """With what it is found again by in its options."""
    named: str
    file: Path

    def of(self, **changes: Any) -> TeamModule:
        """The same with something of the team changed."""
        return replace(self, team=replace(self.team, **changes))

    def __str__(self) -> str:
        return f"Team {self.team.name}: {self.named}, imported from {self.file}"


@dataclass(frozen=True)
class _Place:
    """Where a team is: the folder that its module's name begins at, the module, and the attribute."""

    folder: Path | None
    """None: wherever Python finds it."""
    module: str
    name: str

    def found(self) -> list[ModuleSpec]:
        """The module and the packages that it is in, outermost first; found, not imported. Empty if there is none."""
        invalidate_caches()
        specs: list[ModuleSpec] = []
        search = None if self.folder is None else [str(self.folder)]
        parts = self.module.split(".")
        for end in range(1, len(parts) + 1):
            full = ".".join(parts[:end])
            spec = find_spec(full) if search is None else PathFinder.find_spec(full, search)
            if spec is None:
                return []
            specs.append(spec)
            search = list(spec.submodule_search_locations or ())
        return specs


def load_team(named: str, settings: Settings) -> TeamModule:
    """The team that somebody names, or that what is named makes; NotImportable says what is wrong with it."""
    place = _place_of(named)
    return _load(place, named, settings, lambda _: None, called=lambda _: True)


def load_stored(options: Mapping[str, Any], settings: Settings) -> TeamModule | None:
    """The team whose module a run's options name; None if they name none.

    NotTrusted unless it lies, by its real path, in the project: the folder that holds `.signoff`.
    """
    stored = options.get(OWN)
    if stored is None:
        return None
    told = stored if isinstance(stored, dict) else {}
    folder, module, name = (told.get(key) for key in ("folder", "module", "name"))
    if not isinstance(module, str) or not isinstance(name, str) or not name.isidentifier():
        raise NotTrusted(str(stored), "is no name of a module")
    named = f"{module}:{name}"
    root = project_of(settings)
    if not isinstance(folder, str):
        raise NotTrusted(named, "is not a module of this project, but was found where Python finds what is installed")
    if root is None:
        raise NotTrusted(named, "is not imported by itself, as no folder of a project holds a .signoff")
    place = _Place(root / folder, module, name)
    return _load(place, named, settings, lambda file: _check_inside(file, root, named, settings), called=_says_team)


def with_model(loaded: TeamModule, model: str | None, settings: Settings) -> TeamModule:
    """The same with this model at work in its agents that have one, or have instructions for one."""
    if not model:
        return loaded
    models, team = load_models(settings, model), loaded.team
    if models is None and any(not agent.has_function for agent in team.agents):
        raise SettingsError("--model", f"{model!r} is none, and the team has agents without a function", "Name one.")
    changed = team.with_agents(
        lambda agent: agent.with_model(models) if agent.model is not None or agent.instructions else agent
    )
    return loaded.of(agents=changed.agents, options={**team.options, MODEL: model})


def project_of(settings: Settings) -> Path | None:
    """The real path of the folder that holds `.signoff`; None if what is kept is kept in another way."""
    home = settings.home.expanduser().absolute()
    root = home.parent.resolve()
    return root if home.name == ".signoff" and root != root.parent else None


def _place_of(named: str) -> _Place:
    """What a name says, looked up but not imported."""
    module, _, name = named.rpartition(":")
    if not module or not name.isidentifier():
        which = named.rstrip(":")
        raise NotImportable(named, "names no team in it", f"Write it like {which}:team, for `team` in it")
    if not module.endswith(".py") and "/" not in module and "\\" not in module:
        if not all(part.isidentifier() for part in module.split(".")):
            raise NotImportable(
                named, f"{module!r} is no name of a module", "Write shop.teams:orders or shop.py:orders"
            )
        here = _Place(Path.cwd(), module, name)
        project = _Place(Path.cwd() / module.partition(".")[0], module, name)  # as `signoff new` makes one
        return next((place for place in (here, project) if place.found()), _Place(None, module, name))
    file = Path(module).expanduser().absolute()
    if not file.is_file():
        near = get_close_matches(file.name, [each.name for each in file.parent.glob("*.py")], 1)
        raise NotImportable(named, f"there is no file {module!r}", f"Near it is {near[0]}" if near else "Mend the path")
    folder, parts = file.parent, [file.stem]
    while (folder / "__init__.py").is_file() and folder.name.isidentifier() and parts[0].isidentifier():
        folder, parts = folder.parent, [folder.name, *parts]
    return _Place(folder, ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts), name)


def _load(
    place: _Place, named: str, settings: Settings, allow: Callable[[Path], None], called: Callable[[Any], bool]
) -> TeamModule:
    """Import it, once all that would be imported is allowed, and make the team."""
    try:
        specs = place.found()
    except (ImportError, ValueError) as error:
        raise NotImportable(named, f"it is not found ({error})", "Mend the name") from error
    if not specs:
        problem = f"there is no module {place.module!r} in {_where(place)}"
        raise NotImportable(named, problem, _near(place), is_missing=True)
    files = [Path(spec.origin).resolve() for spec in specs if spec.has_location and spec.origin]
    if not files or not specs[-1].has_location or files[-1].suffix != ".py":
        raise NotImportable(named, f"{place.module!r} is no file of Python code", "Name a module that is")
    for file in files:
        allow(file)
    origin = Path(str(specs[-1].origin)).absolute()
    folder = origin.parents[len(place.module.split(".")) - (origin.name != "__init__.py")]
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))  # it stays: what the team imports later lies there
    module = _imported(specs, named)
    team = _made(module, place.name, named, called)
    stored = {"module": place.module, "name": place.name}
    root = project_of(settings)
    if root is not None and all(_is_inside(file, root, settings) for file in files):
        stored["folder"] = Path(os.path.relpath(folder.resolve(), root)).as_posix()
    return TeamModule(replace(team, options={**team.options, OWN: stored}), named, files[-1])


def _where(place: _Place) -> str:
    return f"{Path.cwd()} or what is installed" if place.folder is None else str(place.folder)


def _near(place: _Place) -> str:
    """What to do about a module that is not there."""
    *packages, last = place.module.split(".")
    folder, known = (place.folder or Path.cwd()).joinpath(*packages), list[str]()
    with suppress(OSError, ValueError):  # it can be no folder's name
        known += [file.stem for file in folder.glob("*.py")]
        known += [file.parent.name for file in folder.glob("*/__init__.py")]
    near = get_close_matches(last, known, 1)
    return (
        f"Near it is {'.'.join((*packages, near[0]))}" if near else "Name one that is, or a file: path/to/file.py:team"
    )


def _imported(specs: list[ModuleSpec], named: str) -> ModuleType:
    """Each of these modules in turn, unless it is imported already; nothing else is taken for it."""
    module: ModuleType | None = None
    for spec in specs:
        parent, module = module, sys.modules.get(spec.name)
        if module is not None and not _is_of(module, spec):
            if len(specs) > 1:
                other = getattr(module, "__file__", None) or "elsewhere"
                raise NotImportable(named, f"another module {spec.name!r} is in use, from {other}", "Rename yours")
            spec = _renamed(spec)
            module = sys.modules.get(spec.name)
        if module is None:
            module = module_from_spec(spec)
            sys.modules[spec.name] = module
            try:
                _run(partial(_execute, spec, module), named)
            except BaseException:
                sys.modules.pop(spec.name, None)
                raise
            if parent is not None:
                setattr(parent, spec.name.rpartition(".")[2], module)
    assert module is not None
    return module


def _execute(spec: ModuleSpec, module: ModuleType) -> None:
    if spec.loader is not None:  # None: a folder without code of its own
        spec.loader.exec_module(module)


def _is_of(module: ModuleType, spec: ModuleSpec) -> bool:
    """Whether a module is what would be imported."""
    file = getattr(module, "__file__", None)
    if not spec.has_location or spec.origin is None:
        return file is None and set(spec.submodule_search_locations or ()) <= set(getattr(module, "__path__", ()))
    return file is not None and Path(file).resolve() == Path(spec.origin).resolve()


def _renamed(spec: ModuleSpec) -> ModuleSpec:
    """The same file under a name of its own, as another module has its name."""
    origin = str(spec.origin)
    found = spec_from_file_location(f"{spec.name}_{digest_text(origin)[:8]}", origin)
    assert found is not None
    return found


def _made(module: ModuleType, name: str, named: str, called: Callable[[Any], bool]) -> Team:
    """The team of this name in a module, or what the function of this name makes."""
    teams = [key for key, value in vars(module).items() if isinstance(value, Team)]
    if name not in vars(module):
        near = get_close_matches(name, [key for key in vars(module) if not key.startswith("_")], 1)
        remedy = f"Its teams: {', '.join(teams)}" if teams else f"Near it is {near[0]}" if near else "It has no team"
        if any(Path(folder, f"{name}.py").is_file() for folder in getattr(module, "__path__", ())):
            remedy = f"It is a module in it: {module.__name__}.{name}:NAME"
        raise NotImportable(named, f"the module has no {name!r}", remedy)
    found = vars(module)[name]
    what = f"{name!r} is {_kind(found)}"
    if not isinstance(found, Team) and _is_factory(found):
        if not called(found):
            raise NotTrusted(named, "is a function that does not say that it makes a Team, as `-> Team` would,")
        needed = [each.name for each in inspect.signature(found).parameters.values() if _is_needed(each)]
        if needed:
            raise NotImportable(named, f"{name!r} needs {', '.join(needed)}", "Name one that is called with nothing")
        found = _run(found, named)
        what = f"{name!r} makes {_kind(found)}"
        if inspect.iscoroutine(found):
            found.close()
    if not isinstance(found, Team):
        also = f"Its teams: {', '.join(teams)}" if teams else "Name a Team, or a function that makes one"
        raise NotImportable(named, f"{what}, no Team", also)
    return found


def _kind(found: Any) -> str:
    if isinstance(found, Pregel):
        return "a graph already compiled; name the Team that it was made from"
    if isinstance(found, StateGraph):
        return "a graph; name the Team that it was made from"
    return f"the class {found.__name__}" if isinstance(found, type) else f"a {type(found).__name__}"


def _is_factory(found: Any) -> bool:
    return inspect.isroutine(found) or (callable(found) and not isinstance(found, type | Pregel | StateGraph))


def _is_needed(parameter: inspect.Parameter) -> bool:
    return parameter.default is parameter.empty and parameter.kind not in (
        parameter.VAR_POSITIONAL,
        parameter.VAR_KEYWORD,
    )


def _says_team(found: Any) -> bool:
    """Whether a function says that it makes a team: by its annotation, or as all that it returns is a Team(…).

    A database could name any function of the project, such as one that deletes something, or that runs a team.
    """
    function = inspect.unwrap(found) if type(found).__module__ in ("functools", "builtins") else found
    if not isinstance(function, FunctionType):
        return False
    if "return" in function.__annotations__:
        annotation = function.__annotations__["return"]
        return annotation in (Team, "Team") or (isinstance(annotation, str) and annotation.endswith(".Team"))
    try:
        tree = ast.parse(dedent(inspect.getsource(function)))
    except (OSError, TypeError, SyntaxError):  # it has no source of its own
        return False
    teams = {name for name, value in function.__globals__.items() if value is Team}
    nodes = list(ast.walk(tree))
    given = [node for node in nodes if isinstance(node, ast.Assign) and _is_call(node.value, teams)]
    made = {target.id for node in given for target in node.targets if isinstance(target, ast.Name)}
    returned = [node.value for node in nodes if isinstance(node, ast.Return)]
    return bool(returned) and all(
        _is_call(value, teams) or (isinstance(value, ast.Name) and value.id in made) for value in returned
    )


def _is_call(value: ast.expr | None, teams: set[str]) -> bool:
    return isinstance(value, ast.Call) and isinstance(value.func, ast.Name) and value.func.id in teams


def _run(work: Callable[[], Any], named: str) -> Any:
    """Do it; NotImportable tells where in whose code it failed."""
    try:
        return work()
    except (Exception, SystemExit) as error:
        if isinstance(error, SyntaxError) and error.filename:
            where = f"{error.filename}:{error.lineno}"
        else:
            frames = traceback.extract_tb(error.__traceback__)
            theirs = [frame for frame in frames if not _is_ours(Path(frame.filename))]
            frame = (theirs or frames)[-1]
            where = f"{frame.filename}:{frame.lineno}"
        told = error.msg if isinstance(error, SyntaxError) else str(error)
        problem = f"it fails at {where}: {type(error).__name__}: {told}".rstrip(": .")
        raise NotImportable(named, problem, "Mend it; `signoff --debug` shows where it came from") from error


def _check_inside(file: Path, root: Path, named: str, settings: Settings) -> None:
    if not _is_inside(file, root, settings):
        raise NotTrusted(named, f"would be imported from {file}, which is no code of the project in {root},")
    if (owner := foreign_owner(file, trusted=ADMINISTRATOR)) is not None:
        raise NotTrusted(named, f"would be imported from {file}, which belongs to another user (uid {owner})")


def _is_inside(file: Path, root: Path, settings: Settings) -> bool:
    """Whether a real path is code of the project: not what is installed there, and nothing in a hidden folder."""
    if not file.is_relative_to(root) or file.is_relative_to(settings.home.expanduser().resolve()):
        return False
    parts = file.relative_to(root).parts
    hidden = any(part.startswith(".") or part.casefold() in _FOREIGN for part in parts)
    folders = [folder for folder in file.parents if folder.is_relative_to(root)]
    installed = _is_installed(file) or any((folder / "pyvenv.cfg").exists() for folder in folders)
    return not hidden and not installed and file.suffix == ".py" and file.is_file()  # and no member of an archive


def _is_installed(file: Path) -> bool:
    """Whether a file is of an installed package, or of Python itself."""
    places = {sysconfig.get_path(kind) for kind in ("stdlib", "platstdlib", "purelib", "platlib")}
    return any(file.is_relative_to(Path(place).resolve()) for place in places if place)


def _is_ours(file: Path) -> bool:
    """Whether a file is no code of whoever wrote the team."""
    rooms = Path(__file__).resolve().parents[2]
    real = file.resolve()
    own = real.is_relative_to(rooms) and real.relative_to(rooms).parts[0] in _ROOMS
    return own or file.name.startswith("<") or _is_installed(real)
