"""The README, the docs, and what is linked from them: every link, page and command that they name is there."""

import re
import shlex
from pathlib import Path
from xml.etree import ElementTree

import pytest

from signoff.desk.cli.app import COMMANDS, LazyCommand

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("signoff", "desk", "fleet", "graphs", "agents", "tools", "checkpoints")
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
TEXTS = [*PAGES, *(ROOT / f"{name}.md" for name in ("CONTRIBUTING", "CHANGELOG", "SECURITY", "CODE_OF_CONDUCT"))]
_LINK = re.compile(r"\]\((?!https?://)([^)#\s]*)(?:#([^)\s]*))?\)")
_HEADING = re.compile(r"^#{1,6} +(.+?) *$", re.MULTILINE)
_FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_NAMED_PAGE = re.compile(r"\bdocs/[\w/-]+\.md\b")


def blocks(page: Path) -> list[tuple[str, str]]:
    return _BLOCK.findall(page.read_text(encoding="utf-8"))


def anchors(page: Path) -> set[str]:
    """What the headings of a page are called in addresses, as GitHub does it."""
    found: set[str] = set()
    for heading in _HEADING.findall(_FENCE.sub("", page.read_text(encoding="utf-8"))):
        text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        name = re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")
        found.add(next(n for n in (name, *(f"{name}-{number}" for number in range(1, 99))) if n not in found))
    return found


def links(page: Path) -> list[tuple[Path, str]]:
    """The files that a page links to, and the anchors in them; empty for the page as a whole."""
    text = _FENCE.sub("", page.read_text(encoding="utf-8"))
    return [((page.parent / target).resolve() if target else page, anchor) for target, anchor in _LINK.findall(text)]


@pytest.mark.parametrize("page", TEXTS, ids=lambda page: page.name)
def test_every_link_leads_to_a_file_and_to_a_heading_in_it(page: Path) -> None:
    for target, anchor in links(page):
        assert target.exists(), target
        assert not anchor or anchor in anchors(target), f"{target.name} has no heading {anchor!r}"


def test_the_index_lists_every_page_once_and_the_readme_leads_there() -> None:
    index = ROOT / "docs" / "README.md"
    listed = [target for target, _ in links(index)]
    assert sorted(listed) == sorted(set(TEXTS) - {index})
    assert index in [target for target, _ in links(PAGES[0])]


def test_the_readme_can_be_read_at_once_and_shows_a_picture_that_any_reader_of_svg_takes() -> None:
    readme = PAGES[0].read_text(encoding="utf-8")
    assert len(readme.splitlines()) <= 150
    [picture] = re.findall(r"!\[[^\]]+\]\(([^)]+\.svg)\)", readme)
    drawing = ElementTree.parse(ROOT / picture).getroot()
    assert drawing.tag == "{http://www.w3.org/2000/svg}svg"
    assert drawing.find("{http://www.w3.org/2000/svg}title") is not None, "for those who cannot see it"


def test_every_page_that_code_and_settings_send_people_to_is_there() -> None:
    code = [path for room in ROOMS for path in (ROOT / room).rglob("*") if path.suffix in (".py", ".toml")]
    named = {page for path in (*code, ROOT / ".env.example") for page in _NAMED_PAGE.findall(path.read_text("utf-8"))}
    assert len(named) >= 2
    assert [page for page in sorted(named) if not (ROOT / page).is_file()] == []


def commands(page: Path) -> list[list[str]]:
    """The words of every command of signoff that a page shows, in a block for a terminal or within a line."""
    text = page.read_text(encoding="utf-8")
    lines = [block.splitlines() for kind, block in blocks(page) if kind in ("console", "bash")]
    shown = [line for block in lines for line in [one for one in block if one[:2] == "$ "] or block]
    shown += re.findall(r"(?<!`)`([^`\n]+)`(?!`)", _FENCE.sub("", text))
    found = (re.search(r"(?:^|[ /])signoff ((?:--debug )?[a-z].*)", re.sub(r" #.*", "", line)) for line in shown)
    return [words_of(line[1].removeprefix("--debug ")) for line in found if line is not None]


def words_of(line: str) -> list[str]:
    """The words as a shell takes them, where it could."""
    try:
        return shlex.split(line)
    except ValueError:  # something is left out in its middle
        return line.split()


@pytest.mark.parametrize("page", TEXTS, ids=lambda page: page.name)
def test_every_command_that_a_page_names_is_there_with_its_options(page: Path) -> None:
    for words in commands(page):
        name = next((name for name in (" ".join(words[:2]), words[0]) if name in COMMANDS), None)
        if name is None:
            assert len(words) == 1, words
            assert any(known.startswith(f"{words[0]} ") for known in COMMANDS), words
            continue
        if any(re.fullmatch(r"[\w./]+:[a-zA-Z_]\w*", word) for word in words):
            continue  # a team of somebody's own has options of its own
        whole = LazyCommand(name, *COMMANDS[name]).load(words[len(name.split()) :])
        known = {option for parameter in whole.params for option in (*parameter.opts, *parameter.secondary_opts)} | {
            "--help"
        }
        assert {word.rstrip(",;:") for word in words if re.match("--?[a-z]", word)} - known == set(), words
