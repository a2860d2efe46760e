"""What a person is shown at the terminal before deciding: all of it, and nothing in it speaks for the gate."""

import io
import re
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st
from markdown_it import MarkdownIt
from pydantic import BaseModel
from rich.cells import cell_len
from rich.console import Console

from signoff import Action
from signoff.checkpoints.ledger import Approval
from signoff.checkpoints.ledger.approval import ANYBODY
from signoff.desk.cli.question import show_proposal, show_whole
from signoff.desk.cli.terminal import row, say, table
from signoff.graphs.approval import describe
from signoff.tools import publish_report
from signoff.wording import make_visible, visible_line

GATE = ("proposes", "Why, in", "Caution", "Decides", "It may touch", "What it is", "Addresses in it", "Dry run", "──")


class Letter(BaseModel):
    to: str
    text: str


def raw(letter: Letter) -> str:
    """A preview as somebody may write it who trusts everybody."""
    return f"Writes to {letter.to}:\n\n{letter.text}"


SEND = Action(name="send", description="Sends it.", arguments=Letter, call=lambda letter, key: {}, preview=raw)
PUBLISH = publish_report()


def asked(action: Action[Any], args: dict[str, Any], **more: Any) -> Approval:
    fields: dict[str, Any] = dict.fromkeys(Approval.__dataclass_fields__, "")
    fields |= {"id": "a-123456", "action": action.name, "proposed_by": "writer", "authority": ANYBODY, "votes": ()}
    fields |= {"dry_run": False, "proposed": args, "shown": args, "args": {}, "status": "pending", "flags": ()}
    return Approval(**{**fields, **more})


def shown(approval: Approval, action: Action[Any], *, width: int = 80, whole: bool = False) -> list[str]:
    """The lines on a terminal of this width, as it would break them."""
    console = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None)
    if whole:
        show_whole(console, approval, action)
    else:
        show_proposal(console, approval, action, pages=False)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().split("\n")


def of_gate(lines: list[str]) -> list[str]:
    return [line for line in lines if not line.startswith("│")]


def said(lines: list[str]) -> str:
    """What others say, its pieces put together again."""
    return "".join(re.sub("^(?:│ ?)+", "", line) for line in lines if line.startswith("│"))


def bare(text: str) -> str:
    return re.sub(r"[\s│]", "", make_visible(text))


HIDING = [
    '[the wiki](https://evil.example/a "https://title.example")',
    "![a chart](https://evil.example/pixel.png)",
    "[x]: https://evil.example/defined 'with a title'",
    "```python run=https://evil.example/info\nx = 1\n```",
    "<!-- https://evil.example/comment -->",
    '<a href="https://evil.example/html" style="display:none">x</a>',
    "[^1]: https://evil.example/footnote",
    "---\ntitle: https://evil.example/front\n---",
    "| a | b |\n|:-:|--:|\n| https://evil.example/cell |",
    "- " * 60 + "https://evil.example/deep",
    "> " * 60 + "https://evil.example/quoted",
    "a " * 3_000 + "https://evil.example/far",
    "<https://evil.example/auto>",
    "[e](&#104;ttps://evil.example/entity)",
    "[s](//evil.example/scheme)",
    "[j](javascript:alert(1))",
    "[d](data:text/html;base64,PHNjcmlwdD4=)",
    "![f](file:///etc/passwd)",
    "<img src=x onerror=alert(1)>",
    "a\\\nb",
    "*​*hidden*​*",
]


@pytest.mark.parametrize("text", HIDING)
@pytest.mark.parametrize("action", [SEND, PUBLISH], ids=["raw", "publish"])
def test_nothing_of_a_text_is_rendered_away(text: str, action: Action[Any]) -> None:
    args = {"to": "ann", "text": text} if action is SEND else {"path": "r.md", "content": text, "attachments": []}
    lines = shown(asked(action, args), action)
    assert bare(text) in bare(said(lines))
    for address in re.findall(r"https://[^\s\"'<>)|]+", text):
        assert any(line.startswith(f"│ {address}") for line in lines)


FORGED = [
    "What it is:\nNothing at all.",
    "\n\nwriter proposes send.\n\nCaution: none.",
    "```\n\nAddresses in it:\n\n```",
    "~~~\nIt may touch: nothing.",
    "╰────╯\n── send · approval a-999999 ──\nDecides: anybody.",
    "x" * 76 + "What it is: nothing",
    "界" * 37 + " Addresses in it: none",
    " " * 160 + "Caution: none",
    "\rCaution: none",
    "\x1b[2K\x1b[1GCaution: none",
    "\u2028Caution: none\u2029\x85Caution: none\x0bCaution: none",
    "\u202eCaution: none",
    "\t" * 9 + "Caution: none\t\tCaution",
    "[/bold][red]Caution: none",
]


@pytest.mark.parametrize("text", FORGED)
@pytest.mark.parametrize("width", [40, 80, 81])
def test_no_text_stands_where_the_gate_speaks(text: str, width: int) -> None:
    approval = asked(SEND, {"to": text, "text": text}, reason=text)
    plain = asked(SEND, {"to": "ann", "text": "hello"}, reason="why")
    for action in (SEND, replace(SEND, preview=None)):
        lines = shown(approval, action, width=width)
        assert of_gate(lines) == of_gate(shown(plain, action, width=width))
        assert all(cell_len(line) <= width for line in lines)


@pytest.mark.parametrize("text", [*FORGED, *HIDING])
def test_no_text_stands_where_an_action_of_ours_speaks(text: str) -> None:
    approval = asked(PUBLISH, {"path": "r.md", "content": f"{text} {'Writes `/tmp/safe.md`. ' * 9}", "attachments": []})
    lines = shown(approval, PUBLISH, width=60)
    begin = next(number for number, line in enumerate(lines) if line.startswith("│ ```"))
    end = next(number for number, line in enumerate(lines) if number > begin and line.startswith("│ ```"))
    assert all(line.startswith("│ │ ") for line in lines[begin + 1 : end])
    assert not any("safe.md" in line for line in (*lines[:begin], *lines[end:]) if line.startswith("│ "))


MARKS = st.sampled_from(
    [
        *"[](){}<>`~*_#|!&;:/\\-+=\n\t '\"",
        "\r",
        "\x1b[1A",
        "\u202e",
        "\u200b",
        "\U000e0041",
        "│ ",
        "\u2028",
        "```",
        "<!--",
        "-->",
        "https://evil.example/",
        "](",
        "[a]: ",
        "<a href=",
        "&#104;",
        "界",
        "e\u0301\u0301",
        "│",
        "──",
        *(f"{one}: " for one in GATE),
    ]
)
WORKS = st.lists(st.one_of(MARKS, st.text(max_size=8)), max_size=40).map("".join)


class Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found |= {value for name, value in attrs if name in ("href", "src") and value}


def rendered_addresses(text: str) -> set[str]:
    """The addresses that a reader of this Markdown would be led to, by another program's reading."""
    reader = MarkdownIt("commonmark", {"html": False})
    reader.normalizeLink = lambda url: url  # type: ignore[method-assign]  # as it stands there
    links = Links()
    links.feed(reader.render(text))
    return {link for link in links.found if not link.startswith("#")}


@settings(deadline=None)
@given(WORKS, WORKS, st.sampled_from([30, 80]))
def test_any_text_is_shown_whole_with_its_addresses_and_never_as_the_gate(text: str, reason: str, width: int) -> None:
    content = text.encode("utf-8", "replace").decode()
    approval = asked(PUBLISH, {"path": "r.md", "content": content, "attachments": []}, reason=reason)
    lines = shown(approval, PUBLISH, width=width)
    heads = (
        "──",
        "writer proposes",
        "Why, in",
        "What it is",
        "The rest",
        "Addresses in it",
        "Caution",
        "Its longest",
        "  ",
        "┆ ",
    )
    assert [line for line in of_gate(lines) if line and not line.startswith(heads)] == []
    assert sum(line.startswith("──") for line in lines) == 1
    assert bare(content) in bare(said(lines))
    assert bare(visible_line(reason if reason.strip() else "")) in bare(said(lines))
    for address in rendered_addresses(make_visible(content)):
        assert bare(address) in bare(said(lines[lines.index("Addresses in it:") :]))


@settings(deadline=None)
@given(WORKS, WORKS)
def test_any_text_is_told_apart_in_markdown_too(text: str, reason: str) -> None:
    def outline(approval: Approval) -> list[str]:
        tokens = MarkdownIt("commonmark").enable("table").parse(describe(approval, SEND))
        assert {token.type.partition("_")[0] for token in tokens if token.level == 0} <= {
            "paragraph",
            "blockquote",
            "bullet",
        }
        return [
            token.content
            for before, token in pairwise(tokens)
            if token.type == "inline" and before.type == "paragraph_open" and before.level == 0
        ]

    known = {
        "writer proposes send.",
        "Why, in its own words:",
        "What it is:",
        "Addresses in it:",
        "The rest of its arguments:",
    }
    for said_by_gate in outline(asked(SEND, {"to": "ann", "text": text}, reason=reason)):
        assert said_by_gate in known or said_by_gate.startswith(("**Caution: something", "Its longest"))


@pytest.mark.parametrize("text", HIDING)
def test_what_a_client_would_render_away_is_its_source_in_markdown(text: str) -> None:
    reader = MarkdownIt("commonmark", {"html": False}).enable("table")
    reader.validateLink = lambda _: True  # type: ignore[method-assign,assignment]  # as other clients' readers have it
    page = re.sub("<[^>]*>", "", reader.render(describe(asked(SEND, {"to": "ann", "text": text}), SEND)))
    assert bare(text) in bare(unescape(page))


def test_a_line_that_a_client_may_not_show_to_its_end_is_told() -> None:
    text = "a" * 400 + " " * 400 + "b"
    assert "Its longest line has 801 characters; read it to its end." in describe(
        asked(SEND, {"to": "", "text": text}), SEND
    )


def test_a_long_work_is_cut_only_where_the_rest_is_a_key_away() -> None:
    approval = asked(SEND, {"to": "ann", "text": "\n".join(f"line {number}" for number in range(200))})
    console = Console(file=io.StringIO(), width=80, force_terminal=True, color_system=None)
    show_proposal(console, approval, SEND, pages=True)
    assert isinstance(console.file, io.StringIO)
    short = console.file.getvalue().split("\n")
    assert "… 142 more lines of it, which v shows." in short
    assert "│ line 199" not in short
    assert "│ line 199" in shown(approval, SEND)


def test_what_a_preview_leaves_out_is_shown_beside_it() -> None:
    quiet = replace(SEND, preview=lambda letter: "Sends a letter.")
    lines = shown(asked(quiet, {"to": "eve@evil.example", "text": "pay\n\u200bnow"}), quiet)
    assert '│ to: "eve@evil.example"' in lines
    assert '│ text: "pay\\n<U+200B>now"' in lines
    assert "│ eve@evil.example" in lines


def test_letters_that_look_like_others_are_cautioned_even_in_edited_arguments() -> None:
    lines = shown(asked(SEND, {"to": "аnn@example.com", "text": "hi"}), SEND)
    assert any(line.startswith("Caution: something in this") for line in lines)
    assert "а is U+0430 CYRILLIC SMALL LETTER A" in said(lines)
    assert not any(line.startswith("Caution") for line in shown(asked(SEND, {"to": "ann", "text": "hi"}), SEND))


@pytest.mark.parametrize("text", [*FORGED, "a  " * 60 + "r-1  done"])
def test_a_line_or_a_row_of_a_list_stays_one(text: str) -> None:
    console = Console(file=io.StringIO(), width=40, force_terminal=True, color_system=None)
    assert isinstance(console.file, io.StringIO)
    say(console, f"goal: {text}")
    first, *more = console.file.getvalue().rstrip("\n").split("\n")
    assert first.startswith("goal: ")
    assert all(line.startswith("┆ ") for line in more)
    assert all(cell_len(line) <= 40 for line in (first, *more))
    found = table("path", "why")
    row(found, text, "too large")
    row(found, "b.md", "fine")
    console.print(found)
    cells = [str(cell) for cell in found.columns[0].cells]
    assert len(cells) == 2
    assert not re.search(r"\n|  ", cells[0])
