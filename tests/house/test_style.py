"""House rules that no linter knows: who may import whom, how long a file is, what it is called."""

from __future__ import annotations

import ast
import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("desk", "fleet", "graphs", "agents", "tools", "checkpoints")
"""A room imports only from rooms after it."""
FOR_ALL = ("signoff.concurrency", "signoff.errors", "signoff.settings", "signoff.version", "signoff.wording")
"""What every room may import from the front door."""

LONGEST = 400
LONGER: dict[str, str] = {
    "signoff/errors.py": "every error of every room, in one tree",
    "tests/checkpoints/saver/test_saver_model.py": "one state machine and the model that it is held to",
}
"""Files that may be longer than that, each with the reason."""
FORBIDDEN_NAMES = {"utils", "util", "helpers", "helper", "manager", "data", "process"}
MAY_PRINT = ("desk", "benchmarks", "make.py", "inside")
"""Folders whose code faces people, or runs in a sandbox and is heard by nothing but its output."""


@cache
def code_files() -> tuple[Path, ...]:
    """Every Python file of the project, relative to the root; the links to the rooms are not followed."""
    tops = {path.parent for path in ROOT.glob("[!.]*/*.py")} | {ROOT / "tests"}
    walked = (Path(folder, name) for top in tops for folder, _, names in os.walk(top) for name in names)
    return tuple(sorted(path.relative_to(ROOT) for path in (*ROOT.glob("*.py"), *walked) if path.suffix == ".py"))


@cache
def nodes(path: Path) -> tuple[ast.AST, ...]:
    """All syntax nodes of a file, also those inside functions and `if TYPE_CHECKING`."""
    return tuple(ast.walk(ast.parse((ROOT / path).read_text(encoding="utf-8"), str(path))))


def imports(path: Path) -> Iterator[tuple[int, str, str]]:
    """Line, module and name of everything a file imports; the name is empty for `import module`."""
    for node in nodes(path):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((node.lineno, "." * node.level + (node.module or ""), alias.name) for alias in node.names)


def may_import(room: str, module: str, name: str) -> bool:
    """Tell whether a file of this room may import this."""
    if module.partition(".")[0] != "signoff":
        return True
    if module == "signoff":
        module = f"signoff.{name}"
    if module in FOR_ALL:
        return True
    other = module.split(".")[1]
    return other in ROOMS[ROOMS.index(room) :]


def is_swallowed(handler: ast.ExceptHandler) -> bool:
    """Tell whether a handler catches everything and says nothing."""
    everything = isinstance(handler.type, ast.Name) and handler.type.id in ("Exception", "BaseException")
    silent = all(isinstance(step, ast.Pass | ast.Continue) or is_constant(step) for step in handler.body)
    return handler.type is None or (everything and silent)


def is_constant(step: ast.stmt) -> bool:
    """Tell whether a statement is only a value, such as `...`."""
    return isinstance(step, ast.Expr) and isinstance(step.value, ast.Constant)


def test_a_room_imports_only_from_itself_and_the_rooms_below() -> None:
    upward = [
        f"{path}:{line} imports {module} {name}".rstrip()
        for path in code_files()
        if path.parts[0] in ROOMS
        for line, module, name in imports(path)
        if not may_import(path.parts[0], module, name)
    ]
    assert upward == []


def test_errors_and_settings_import_no_room() -> None:
    upward = [
        f"{path}:{line} imports {module}"
        for path in (Path("signoff", "errors.py"), Path("signoff", "settings.py"))
        for line, module, _ in imports(path)
        if module.partition(".")[0] == "signoff" and module not in FOR_ALL
    ]
    assert upward == []


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


def test_no_file_is_too_long() -> None:
    lengths = {path.as_posix(): len((ROOT / path).read_text(encoding="utf-8").splitlines()) for path in code_files()}
    assert {path for path, length in lengths.items() if length > LONGEST} == set(LONGER)


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
