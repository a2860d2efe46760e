"""A repository in units: circles of imports are together, what is imported comes first, none is too large."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from small_shop import SHOP

from signoff.errors import MissingExtra, TeamError
from signoff.tools.files.self_running import protected_as
from signoff.tools.git.refactoring import RepositoryUnits, fill_in, find_units
from signoff.tools.git.refactoring.import_graph import read_imports


def units_of(files: Mapping[str, str], most: int = 1, **given: object) -> RepositoryUnits:
    raw = {path: text.encode() for path, text in files.items()}
    return find_units(raw, most=most, protected=protected_as, **given)  # type: ignore[arg-type]


def listed(found: RepositoryUnits) -> list[tuple[int, tuple[str, ...]]]:
    return [(unit.layer, unit.files) for unit in found.units]


def test_a_unit_is_a_circle_and_comes_after_what_it_imports() -> None:
    found = units_of(SHOP)
    assert listed(found) == [
        (0, ("shop/__init__.py",)),
        (0, ("shop/money.py",)),
        (0, ("shop/names.py",)),
        (0, ("shop/node.py", "shop/tree.py")),
        (1, ("shop/bill.py",)),
        (2, ("shop/app.py",)),
    ]
    assert found.cycles == (("shop/node.py", "shop/tree.py"),)
    assert str(found) == "7 files of 25 lines in 6 units; 3 layers of imports [5, 1, 1], 1 circle (2 files)"


def test_tests_are_in_no_unit_and_are_known_by_what_they_reach() -> None:
    found = {unit.name: unit.tests for unit in units_of(SHOP).units}
    assert found["shop/names.py"] == ("tests/test_shop.py",)
    assert all("test" not in name for name in found)


@pytest.mark.parametrize(("most", "sizes"), [(1, [1, 1, 1, 2, 1, 1]), (9, [3, 2, 1, 1]), (25, [5, 2]), (100, [7])])
def test_neighbours_are_put_together_as_the_number_of_lines_allows(most: int, sizes: list[int]) -> None:
    found = units_of(SHOP, most)
    assert sorted(len(unit.files) for unit in found.units) == sorted(sizes)
    at = {path: unit.layer for unit in found.units for path in unit.files}
    assert at["shop/money.py"] <= at["shop/bill.py"] <= at["shop/app.py"]


def test_modules_are_found_beside_packages_in_src_in_scripts_and_without_init() -> None:
    files = {
        "calc.py": "import json\nimport helper\n",
        "helper.py": "",
        "src/pk/__init__.py": "",
        "src/pk/a.py": "from . import b\n",
        "src/pk/b.py": "import calc\n",
        "ns/q/c.py": "",
        "ns/q/d.py": "from ns.q import c\n",
        "tools/go.py": "import steps\n",
        "tools/steps.py": "import pk.a\n",
        "json.py": "",
    }
    raw = {path: text.encode() for path, text in files.items()}
    graph, unread = read_imports(raw)
    assert unread == ()
    assert graph["calc.py"] == {"helper.py"}
    assert graph["src/pk/a.py"] >= {"src/pk/b.py"}
    assert graph["src/pk/b.py"] == {"calc.py"}
    assert graph["ns/q/d.py"] == {"ns/q/c.py"}
    assert graph["tools/go.py"] == {"tools/steps.py"}
    assert graph["tools/steps.py"] == {"src/pk/a.py"}


def test_a_file_that_is_no_python_3_is_said_and_the_others_are_mapped() -> None:
    found = units_of({**SHOP, "shop/old.py": "print 'x'\n", "shop/older.py": "exec 'x'\n"})
    assert found.unread == ("shop/old.py", "shop/older.py")
    assert {files[0]: layer for layer, files in listed(found)}["shop/app.py"] == 2


def test_nothing_of_a_repository_is_imported_by_mapping_it(tmp_path: Path) -> None:
    trap = f"open({str(tmp_path / 'ran')!r}, 'w').close()\n"
    names = ("grimp", "typing_extensions", "shop/__init__", "json", "sitecustomize", "encodings/__init__")
    units_of({**SHOP, **{f"{name}.py": trap for name in names}})
    assert not (tmp_path / "ran").exists()


def test_what_is_no_python_is_taken_by_folder_in_one_layer() -> None:
    program = "       DISPLAY 'A'.\n" * 10
    files = {"cob/b.cob": program, "cob/a.cob": program, "lib/c.cob": program, "go.py": "", "README.md": "text\n" * 99}
    found = units_of(files, 25, wanted=("*.cob",))
    assert listed(found) == [(0, ("cob/a.cob", "cob/b.cob")), (0, ("lib/c.cob",))]
    assert [files for _, files in listed(units_of(files, 10, wanted=("cob",)))] == [("cob/a.cob",), ("cob/b.cob",)]


def test_files_that_are_no_text_are_in_no_unit() -> None:
    found = find_units({"a.bin": b"\0\1", "b.c": b"int x;\n"}, most=9)
    assert listed(found) == [(0, ("b.c",))]


def test_without_grimp_it_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    monkeypatch.setattr("signoff.tools.git.refactoring.import_graph.find_spec", lambda _name: None)
    with pytest.raises(MissingExtra, match="needs grimp"):
        units_of(SHOP)


def test_circles_of_thousands_of_files_do_not_exhaust_the_stack() -> None:
    files = {f"m{number}.py": f"import m{(number + 1) % 3000}\n" for number in range(3000)}
    found = units_of(files, 10)
    assert [len(unit.files) for unit in found.units] == [3000]


def test_names_are_filled_in_quoted_and_not_without_end() -> None:
    assert fill_in("flynt {files} --x", ["a b.py", "c.py"]) == "flynt 'a b.py' c.py --x"
    assert fill_in("pytest -q", ["a.py"] * 99_999) == "pytest -q"
    with pytest.raises(TeamError, match="fewer --lines"):
        fill_in("flynt {files}", ["long/name/of/a/module.py"] * 9_999)
