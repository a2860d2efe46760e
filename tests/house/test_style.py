"""House rules that no linter knows: who may import whom, what a reader must hold in his head, what names mean."""

from __future__ import annotations

import ast
import os
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from functools import cache
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
ROOMS = ("desk", "fleet", "graphs", "agents", "tools", "checkpoints")
"""A room imports only from rooms after it."""
HOUSE = ("signoff", *ROOMS)
FOR_ALL = ("concurrency", "error_base", "exports", "installation", "settings", "wording")
"""What every room may import from the front door."""

LONGEST_FUNCTION = 60
LARGEST_CLASS = 250
MOST_ENTRIES = 16
"""Of a folder, `__init__.py` not counted: what a reader takes in at a glance."""
LONG_FILE = 400
"""Lines above which a file says in its head why it is one."""

LARGER: dict[str, str] = {}
"""Functions and classes that may be larger, as `file:name`, each with the reason."""
FULLER: dict[str, str] = {
    "docs": "one page for each thing that a reader looks up; docs/README.md lists them in reading order",
    "tools": "one folder for each thing that agents can do; architecture.md lists them",
    "tests/kills/programs": "one program for each thing that is killed; what they share is forked.py and payments.py",
}
"""Folders that may hold more, each with the reason."""
_WHEN_NEEDED = "loaded when such a document comes, so that the others do not wait for its library"
ALONE: dict[str, str] = {
    "agents/loop/loop.py": "the model body itself; the runner chooses between it and a function",
    "agents/models/call.py": "one call from its reservation to its settlement; guarded.py is what LangChain sees",
    "agents/models/openai/client.py": "the HTTP of an endpoint; chat_model.py is what LangChain sees",
    "checkpoints/ledger/approvals.py": "asking and deciding; the ledger only has it as one of its parts",
    "checkpoints/saver/migration.py": "needed once, by files of the first edition",
    "checkpoints/saver/maintenance.py": "pruning, copying and deleting, which no step of a run needs",
    "checkpoints/saver/postgres_checkpointer.py": "loaded only where the database is PostgreSQL",
    "checkpoints/saver/storage.py": "the opened file, which the savers of a process share; file_saver.py reads it",
    "desk/cli/live.py": "what a terminal shows while a run goes on; run.py has the commands",
    "desk/cli/record.py": "loaded only where a run is recorded or exported",
    "desk/web/screens/eval_pages.py": "the screens of evals; the application gives them their addresses",
    "desk/web/screens/fleet_pages.py": "the screens of the fleet; the application gives them their addresses",
    "desk/web/screens/record_pages.py": "the screens of the record; the application gives them their addresses",
    "desk/web/screens/run_pages.py": "the screens of runs; the application gives them their addresses",
    "desk/web/stream.py": "the stream of events; the application gives it its address",
    "fleet/buttons.py": "loaded to the end only where somebody decides in a notebook with ipywidgets",
    "fleet/evals/answering.py": "what people and a judge say in an eval, which decides nothing about what is run",
    "fleet/queue/recovery.py": "another process, started by its name, which puts back what a dead worker had",
    "graphs/nodes/gate.py": "the node where a proposal is decided; the team places it in the graph",
    "graphs/nodes/items.py": "the node of an agent that works item by item; the team places it in the graph",
    "graphs/nodes/child.py": "the node of a team that stands as an agent; the team places it in the graph",
    "tools/broker/proxy.py": "runs in the broker's process, whose main module starts it",
    "tools/documents/pdf.py": _WHEN_NEEDED,
    "tools/documents/rst.py": _WHEN_NEEDED,
    "tools/documents/source_code.py": _WHEN_NEEDED,
    "tools/git/refactoring/grimp_process.py": "another process, started by its path",
    "tools/files/lines.py": "another process, started by its path",
}
"""Files that only one other file imports, each with the reason why they are not part of it."""
MAY_REPEAT = {"__init__.py", "__main__.py", "errors.py", "tools.py", "model.py", "schema.py"}
"""Names of files that may occur in several folders of a room."""
FORBIDDEN_NAMES = {"utils", "util", "helpers", "helper", "manager", "data", "process"}
MAY_PRINT = ("desk", "benchmarks", "examples", "make.py", "inside")
"""Folders whose code faces people, or runs in a sandbox and is heard by nothing but its output."""


@cache
def code_files() -> tuple[Path, ...]:
    """Every Python file of the project, relative to the root; the links to the rooms are not followed."""
    tops = {path.parent for path in ROOT.glob("[!.]*/*.py")} | {ROOT / "tests"}
    walked = (Path(folder, name) for top in tops for folder, _, names in os.walk(top) for name in names)
    return tuple(sorted(path.relative_to(ROOT) for path in (*ROOT.glob("*.py"), *walked) if path.suffix == ".py"))


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse((ROOT / path).read_text(encoding="utf-8"), str(path))


@cache
def nodes(path: Path) -> tuple[ast.AST, ...]:
    """All syntax nodes of a file, also those inside functions and `if TYPE_CHECKING`."""
    return tuple(ast.walk(tree(path)))


def imports(path: Path) -> Iterator[tuple[int, str, str]]:
    """Line, module and name of everything a file imports; the name is empty for `import module`."""
    for node in nodes(path):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((node.lineno, "." * node.level + (node.module or ""), alias.name) for alias in node.names)


def module_of(path: Path) -> str:
    """The import name of a file: `agents/agent.py` is `signoff.agents.agent`."""
    parts = path.with_suffix("").parts if path.name != "__init__.py" else path.parent.parts
    return ".".join(parts if parts[0] == "signoff" else ("signoff", *parts))


def room_of(module: str) -> str:
    """The room of a module; the front door is `signoff`."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 and parts[1] in ROOMS else "signoff"


@cache
def house() -> Mapping[str, Path]:
    """The files of the seven rooms, by import name."""
    return {module_of(path): path for path in code_files() if path.parts[0] in HOUSE}


@cache
def offered(package: str) -> Mapping[str, str]:
    """What a package offers, and the module of each name: what it imports for type checkers."""
    return {
        alias.name: node.module
        for block in tree(house()[package]).body
        if isinstance(block, ast.If)
        for node in block.body
        if isinstance(node, ast.ImportFrom) and node.module and node.module in house()
        for alias in node.names
    }


@cache
def imported_files(path: Path) -> frozenset[Path]:
    """The files of the house that a file imports; a name that a package offers counts as its own file too."""
    found: set[Path] = set()
    for _, module, name in imports(path):
        wanted = f"{module}.{name}" if f"{module}.{name}" in house() else module
        if wanted not in house():
            continue
        found.add(house()[wanted])
        if house()[wanted].name == "__init__.py" and name in offered(wanted):
            found.add(house()[offered(wanted)[name]])
    return frozenset(found - {path})


def circles() -> list[list[str]]:
    """Groups of files of which each leads to each, by Tarjan's algorithm."""
    order: dict[Path, int] = {}
    low: dict[Path, int] = {}
    stack: list[Path] = []
    found: list[list[str]] = []

    def visit(path: Path) -> None:
        order[path] = low[path] = len(order)
        stack.append(path)
        for other in imported_files(path):
            if other not in order:
                visit(other)
            if other in stack:
                low[path] = min(low[path], low[other])
        if low[path] == order[path]:
            group = stack[stack.index(path) :]
            del stack[stack.index(path) :]
            if len(group) > 1:
                found.append(sorted(str(each) for each in group))

    for path in house().values():
        if path not in order:
            visit(path)
    return found


def may_import(room: str, module: str, name: str) -> bool:
    """Tell whether a file of this room may import this."""
    parts = (f"{module}.{name}" if module == "signoff" else module).split(".")
    if parts[0] != "signoff":
        return True
    return parts[1] in FOR_ALL or parts[1] in ROOMS[ROOMS.index(room) :]


def is_swallowed(handler: ast.ExceptHandler) -> bool:
    """Tell whether a handler catches everything and says nothing."""
    everything = isinstance(handler.type, ast.Name) and handler.type.id in ("Exception", "BaseException")
    silent = all(isinstance(step, ast.Pass | ast.Continue) or is_constant(step) for step in handler.body)
    return handler.type is None or (everything and silent)


def is_constant(step: ast.stmt) -> bool:
    """Tell whether a statement is only a value, such as `...`."""
    return isinstance(step, ast.Expr) and isinstance(step.value, ast.Constant)


def lines_of(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


def test_a_room_imports_only_from_itself_and_the_rooms_below() -> None:
    upward = [
        f"{path}:{line} imports {module} {name}".rstrip()
        for path in code_files()
        if path.parts[0] in ROOMS
        for line, module, name in imports(path)
        if not may_import(path.parts[0], module, name)
    ]
    assert upward == []


def test_what_every_room_may_import_imports_no_room() -> None:
    upward = [
        f"{path}:{line} imports {module}"
        for module_name, path in house().items()
        if module_name.split(".")[:2] in [["signoff", name] for name in FOR_ALL] and path.name != "__init__.py"
        for line, module, _ in imports(path)
        if room_of(module) != "signoff" or module == "signoff"
    ]
    assert upward == []


def test_a_room_is_entered_by_the_names_that_its_folders_offer() -> None:
    past_the_face = [
        f"{path}:{line} imports {name} from {module}"
        for path in house().values()
        for line, module, name in imports(path)
        if module in house() and room_of(module) not in ("signoff", room_of(module_of(path)))
        and house()[module].name not in ("__init__.py", "errors.py")
        and f"{module.rpartition('.')[0]}.{name}" not in house()  # a file of that name hides a name offered beside it
    ]  # fmt: skip
    assert past_the_face == []


@pytest.mark.parametrize("package", sorted(module for module, path in house().items() if path.name == "__init__.py"))
def test_a_package_says_in_one_line_what_it_is_and_offers_what_it_names(package: str) -> None:
    assert (ast.get_docstring(tree(house()[package])) or "").splitlines()[0].endswith("."), package
    for name, home in offered(package).items():
        assert getattr(import_module(package), name) is getattr(import_module(home), name)
        assert home.startswith(f"{package}.") or package == "signoff"
    if offered(package):
        assert import_module(package).__all__ == sorted(offered(package))


def test_no_files_import_each_other_in_a_circle() -> None:
    assert circles() == []


def test_a_file_that_only_one_other_imports_is_part_of_it() -> None:
    importers: dict[Path, set[Path]] = defaultdict(set)
    named: set[Path] = set()
    for path in code_files():
        for other in imported_files(path):
            if path.parts[0] in HOUSE:
                importers[other].add(path)
            else:
                named.add(other)
    alone = {
        path.as_posix()
        for path in house().values()
        if len(importers[path]) == 1 and path not in named and path.name not in MAY_REPEAT - {"tools.py"}
    }
    assert alone == set(ALONE)


def test_every_function_and_class_fits_in_a_readers_head() -> None:
    large = {
        f"{path.as_posix()}:{node.name}"
        for path in code_files()
        if path.parts[0] != "tests"
        for node in nodes(path)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        and lines_of(node) > (LARGEST_CLASS if isinstance(node, ast.ClassDef) else LONGEST_FUNCTION)
    }
    assert large == set(LARGER)


def test_a_long_file_says_why_it_is_one() -> None:
    silent = [
        str(path)
        for path in house().values()
        if len((ROOT / path).read_text(encoding="utf-8").splitlines()) > LONG_FILE
        and "longer than most" not in (ast.get_docstring(tree(path)) or "").replace("\n", " ")
    ]
    assert silent == []


def test_a_folder_is_taken_in_at_a_glance() -> None:
    tops = {ROOT / path.parts[0] for path in code_files() if len(path.parts) > 1} | {ROOT / "docs", ROOT / "notebooks"}
    entries: Counter[str] = Counter()
    for top in tops:
        for folder, folders, names in os.walk(top):
            folders[:] = [name for name in folders if name != "__pycache__" and not name.startswith(".")]
            seen = [name for name in names if name != "__init__.py" and not name.startswith(".")]
            links = [name for name in folders if Path(folder, name).is_symlink()]  # of a walk, they are folders
            entries[Path(folder).relative_to(ROOT).as_posix()] = len(seen) + len(folders)
            folders[:] = [name for name in folders if name not in links]
    assert {folder for folder, count in entries.items() if count > MOST_ENTRIES} == set(FULLER)


def test_a_name_of_a_file_means_one_thing_in_its_room() -> None:
    seen = Counter((path.parts[0], path.name) for path in house().values() if path.name not in MAY_REPEAT)
    assert [f"{name} in {room}" for (room, name), count in seen.items() if count > 1] == []


def test_every_import_is_absolute() -> None:
    relative = [
        f"{path}:{line} {module}" for path in code_files() for line, module, _ in imports(path) if module[:1] == "."
    ]
    assert relative == []


def test_rooms_are_imported_by_their_installed_names() -> None:
    bare = [
        f"{path}:{line} imports {module}"
        for path in code_files()
        for line, module, _ in imports(path)
        if module.partition(".")[0] in ROOMS
    ]
    assert bare == []


def test_no_module_has_a_name_that_says_nothing() -> None:
    vague = [str(path) for path in code_files() if {part.split(".")[0] for part in path.parts} & FORBIDDEN_NAMES]
    assert vague == []


def test_nothing_private_is_imported_from_another_module() -> None:
    private = [
        f"{path}:{line} imports {name} from {module}"
        for path in code_files()
        for line, module, name in imports(path)
        for part in (*module.split("."), name)
        if part.startswith("_") and not part.startswith("__")
    ]
    assert private == []


def test_no_error_is_swallowed() -> None:
    swallowed = [
        f"{path}:{node.lineno}"
        for path in code_files()
        for node in nodes(path)
        if isinstance(node, ast.ExceptHandler) and is_swallowed(node)
    ]
    assert swallowed == []


def test_only_what_faces_people_prints() -> None:
    printed = [
        f"{path}:{node.lineno}"
        for path in code_files()
        if not set(path.parts) & set(MAY_PRINT)
        for node in nodes(path)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    ]
    assert printed == []
