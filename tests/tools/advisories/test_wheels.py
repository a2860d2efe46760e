"""Wheels and manifests: what is read and changed of a file, what fits together, and what may not be unpacked."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
from crates import KNOT, write_knots, write_wheel

from signoff.errors import NotResolved, WheelMissing
from signoff.tools.advisories import Wheelhouse, changed, make_environment, read_manifests

HASH = "0" * 64


def house(folder: Path) -> Wheelhouse:
    return Wheelhouse(folder / "cache", [folder], fetches=False)


def test_the_pins_say_it_all_where_they_do_and_nobody_is_asked(tmp_path: Path) -> None:
    write_wheel(write_knots(tmp_path), "rope", "1.0", {"rope.py": ""}, ["knot<1.1", 'sail; extra == "x"'])
    lock = house(tmp_path).lock(["rope==1.0"], {"rope": "1.0", "knot": "1.0"})
    assert {name: wheel.version for name, wheel in lock.items()} == {"rope": "1.0", "knot": "1.0"}
    with pytest.raises(NotResolved, match=r"rope asks for knot<1.1, not 1.1") as raised:
        house(tmp_path).lock(["rope==1.0"], {"rope": "1.0", "knot": "1.1"})
    assert raised.value.between == (("knot", "rope"),)


def test_a_version_without_a_wheel_says_what_helps(tmp_path: Path) -> None:
    with pytest.raises(WheelMissing, match=r"no wheel of knot 9.0: none that fits Python .*--wheels DIR"):
        house(write_knots(tmp_path)).find("knot", "9.0")


def test_an_environment_is_unpacked_with_its_programs_and_made_once(tmp_path: Path) -> None:
    entry = {"knot.py": KNOT["1.0"], "knot-3.0.dist-info/entry_points.txt": "[console_scripts]\ntie = knot:tie\n"}
    write_wheel(tmp_path, "knot", "3.0", entry)
    lock = house(tmp_path).lock(["knot==3.0"], {"knot": "3.0"})
    made = make_environment(tmp_path / "home", lock, house(tmp_path))
    (module,) = made.glob("lib/*/site-packages/knot.py")
    assert module.read_text() == KNOT["1.0"]
    assert "from knot import tie" in (made / "bin" / "tie").read_text()
    assert make_environment(tmp_path / "home", lock, house(tmp_path)) == made


@pytest.mark.parametrize(
    "path", ["../outside.py", "/tmp/outside.py", "knot-4.0.data/scripts/../../../outside", "a/../../b"]
)
def test_a_wheel_that_would_write_outside_of_itself_is_refused(tmp_path: Path, path: str) -> None:
    write_wheel(tmp_path, "knot", "4.0", {"knot.py": "", path: "here"})
    lock = house(tmp_path).lock(["knot==4.0"], {"knot": "4.0"})
    with pytest.raises(WheelMissing, match="would write outside"):
        make_environment(tmp_path / "home", lock, house(tmp_path))
    assert not list((tmp_path / "home" / "environments").iterdir())


def test_a_wheel_that_was_changed_since_it_was_chosen_is_not_used(tmp_path: Path) -> None:
    made = write_wheel(tmp_path, "knot", "5.0", {"knot.py": ""})
    wheel = house(tmp_path).find("knot", "5.0")
    with zipfile.ZipFile(made, "a") as opened:
        opened.writestr("more.py", "here")
    with pytest.raises(WheelMissing, match="changed since it was chosen"):
        house(tmp_path).read(wheel)


def test_manifests_are_read_by_their_lines_with_what_is_not_pinned_apart() -> None:
    text = (
        "# first\n-r more.list\n-e .\nKnot_ty[a,b] == 1.0 ; python_version >= '3'  # via x\nsail>=2\n"
        f"rope==1.0 \\\n    --hash=sha256:{HASH} \\\n    --hash=sha256:{HASH}\nmast===3\nflag==1.*\nhttps://x.example/y.whl\n"
    )
    listed, more = read_manifests(
        {"requirements.txt": text.encode(), "more.list": b"oar==4\n", "notes.txt": b"sea==1\n"}
    )[::-1]
    assert [(pin.name, pin.version, pin.line) for pin in listed.pins] == [
        ("knot-ty", "1.0", 4),
        ("rope", "1.0", 6),
        ("mast", "3", 9),
    ]
    assert listed.unpinned == ("sail>=2", "flag==1.*", "https://x.example/y.whl")
    assert [pin.package for pin in more.pins] == [("oar", "4")]


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("packages/own/pyproject.toml", "[project]\nname = 'Own_One'\ndependencies = ['own-one[x]']\n"),
        ("pyproject.toml", "[tool.poetry]\nname = 'own-one'\n"),
        ("setup.cfg", "[metadata]\nversion = 1\nname = own.one\n\n[tool:other]\nname = sail\n"),
        ("lib/setup.py", "from setuptools import Extension, setup\n\nsetup(\n    name='own-one',\n    version='1')\n"),
    ],
)
def test_what_is_in_the_repository_itself_is_not_asked_of_an_index(path: str, text: str) -> None:
    """Somebody else may have a package of that name there."""
    asks = b"own_one>=1\n-e ./lib\n./tool\nsail>=2\n-e git+https://x.example/y\n"
    found = {one.path: one for one in read_manifests({path: text.encode(), "requirements.txt": asks})}
    assert found["requirements.txt"].unpinned == ("sail>=2", "-e git+https://x.example/y")
    assert all(one.unpinned == () for name, one in found.items() if name != "requirements.txt")


@pytest.mark.parametrize(
    ("path", "text", "after"),
    [
        ("requirements.txt", "rope==1.0.1\nrope-x==1.0\nrope==1.0\n", "rope==1.0.1\nrope-x==1.0\nrope==2.0\n"),
        ("requirements.txt", "rope === 1.0 # 1.0 it is\r\n", "rope === 2.0 # 1.0 it is\r\n"),
        ("requirements.txt", "\ufeffrope==1.0\n", "\ufeffrope==2.0\n"),
        (
            "requirements.txt",
            f"rope==1.0 \\\r\n    --hash=sha256:{HASH}\r\nsail==1.0\r\n",
            "rope==2.0 \\\r\n    --hash=sha256:new\r\nsail==1.0\r\n",
        ),
        (
            "requirements.txt",
            f"rope==1.0 --hash=sha256:{HASH}\nsail==1.0\n",
            "rope==2.0 --hash=sha256:new\nsail==1.0\n",
        ),
        (
            "pyproject.toml",
            "[project]\nname = 'rope'\nversion = '1.0'\ndependencies = ['rope==1.0', \"sail==1.0\"]\n",
            "[project]\nname = 'rope'\nversion = '1.0'\ndependencies = ['rope==2.0', \"sail==1.0\"]\n",
        ),
    ],
)
def test_a_pin_is_changed_where_it_stands_and_nothing_else_is(path: str, text: str, after: str) -> None:
    (manifest,) = read_manifests({path: text.encode()})
    (pin,) = [one for one in manifest.pins if one.package == ("rope", "1.0")]
    assert changed(text.encode(), pin, "2.0", ["sha256:new"]) == after.encode()
    with pytest.raises(ValueError, match="any more"):
        changed(b"\n" * 5 if path == "requirements.txt" else b"[project]\n", pin, "2.0")
