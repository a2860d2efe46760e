"""What the page shows of others' text: escaped, with nothing in it unseen, and never markup of its own."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from functools import cache
from itertools import zip_longest
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markdown_it import MarkdownIt
from markupsafe import Markup, escape

from signoff.checkpoints.ledger import COUNTED, SETTLE_OUTCOME, Approval
from signoff.graphs import CONTINUE_RUN, FOLLOW_PLAN, RAISE_BUDGET
from signoff.graphs.approval import exactly
from signoff.wording import counted, make_visible, one_line, span

_TEMPLATES: Final = Path(__file__).with_name("templates")
_WRITTEN_OUT: Final = re.compile(r"&lt;U\+[0-9A-F]{4,6}&gt;|␍")
_COMMAND: Final = re.compile(r"`(signoff [^`<>&]*)`")
_CITED: Final = re.compile(r"\[(\d{1,4})\]")
_SAYS_MOST: Final = ("to", "path", "file", "url", "repo", "branch", "title", "subject", "name", "company", "email")
_PREPOSITIONS: Final = ("to",)
_ABOUT: Final = ("action", "change", "use", "role", "name", "job", "status")
"""Of an entry of the log, what says in a word what it is about."""
_LONGEST: Final = 90
_TO_SHORTEN: Final = 20
"""So many times as long as a line is what is looked at to shorten a text to it."""
_HELD: Final = 4_000
"""Lines that are held against each other; of more, those that differ are shown one after the other."""
_LONG_LINE: Final = 600
_BESIDE: Final = 100
"""Characters of a long line that are shown before and after what differs in it."""


@cache
def environment() -> Environment:
    """Templates in which every value is escaped, and what would not be seen in it is written out."""
    found = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        auto_reload=False,  # a package that is upgraded below a page that is served would change half of it
        finalize=_visible,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters |= {
        "moment": moment,
        "took": took,
        "markdown": markdown,
        "marked": marked,
        "in_words": in_words,
        "short": short,
        "exactly": exactly,
        "diff": diff,
        "counted": counted,
        "one_line": one_line,
        "told_of": told_of,
        "with_commands": with_commands,
        "dollars": dollars,
        "so_far": so_far,
    }
    return found


def _visible(value: Any) -> Any:
    return make_visible(value) if type(value) is str else value


def moment(at: str) -> Markup:
    """A time of the database; the page's script says how long ago that is."""
    said = at[:16].replace("T", " ")
    return Markup('<time datetime="{0}">{1} UTC</time>').format(at, said) if at else Markup("")


def took(begin: str, end: str) -> str:
    """How long it was between two times of the database."""
    return span((datetime.fromisoformat(end) - datetime.fromisoformat(begin)).total_seconds())


def dollars(usd: float) -> str:
    return f"${usd:,.2f}" if usd >= 0.01 or not usd else f"${usd:.4f}"


def so_far(number: int) -> str:
    """A number that was counted as far as `COUNTED`."""
    return f"{COUNTED - 1}+" if number >= COUNTED else str(number)


def short(text: str, most: int = _LONGEST) -> str:
    """The text as one line; `…` where some of it is left out."""
    begin = text[: _TO_SHORTEN * most]  # the rest would only be thrown away
    line = one_line(begin)
    return line if len(line) <= most and len(begin) == len(text) else f"{line[: most - 1]}…"


def with_commands(text: str) -> Markup:
    """A line of ours in which commands stand between backticks."""
    return Markup(_COMMAND.sub(r"<code>\1</code>", str(escape(make_visible(text)))))


def marked(text: str) -> Markup:
    """Text of others with its hidden characters written out and marked as such."""
    return _mark(str(escape(make_visible(text))))


def _mark(html: str) -> Markup:
    return Markup(_WRITTEN_OUT.sub(lambda found: f'<mark class="unseen">{found[0]}</mark>', html))


def markdown(text: str, cited: Collection[int] = (), quotes: str = "", nonce: str = "", at: str = "") -> Markup:
    """Markdown of others as HTML without links, pictures and markup of its own; what it cites leads to the quote.

    Below the address `quotes` each is found by its number, with `at` behind that, and opens behind what cites it.
    """
    env = {"cited": frozenset(cited), "quotes": quotes, "nonce": nonce, "at": at}
    return _mark(_renderer().render(make_visible(text), env))


@cache
def _renderer() -> MarkdownIt:
    made = (
        MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"]).disable(["image", "html_inline"])
    )
    rules: Mapping[str, Callable[..., str]] = {
        "text": _text,
        "link_open": lambda *_: "",
        "link_close": lambda *_: "",
        "fence": _fence,
        "table_open": _open_table,
        "table_close": lambda *_: "</table></div>\n",
        "amid": lambda _self, _tokens, place, *_: (
            f'<div class="amid" id="cited-{place}" role="status" hx-morph-skip></div>\n'
        ),
    }
    made.core.ruler.push("addresses", _write_addresses)
    made.core.ruler.push("places", _make_places)
    for name, rule in rules.items():
        made.add_render_rule(name, rule)
    return made


def _write_addresses(state: Any) -> None:
    """Write the address of each link behind its text: nothing leads elsewhere than it says."""
    for block in state.tokens:
        for place, token in reversed(list(enumerate(block.children or ()))):
            if token.type == "link_close":
                opened = next(one for one in reversed(block.children[:place]) if one.type == "link_open")
                address = make_visible(str(opened.attrs.get("href", "")))
                told = "".join(one.content for one in block.children[block.children.index(opened) : place])
                if address not in (told, f"mailto:{told}"):
                    code = type(token)("code_inline", "code", 0, content=address)
                    block.children.insert(place + 1, code)
                    block.children.insert(place + 1, type(token)("text", "", 0, content=" "))


def _make_places(state: Any) -> None:
    """Behind each block that cites a place in which the quote opens."""
    tokens, cites = list[Any](), False
    for token in state.tokens if state.env.get("quotes") else ():
        tokens.append(token)
        texts = (one.content for one in token.children or () if one.type == "text")
        cites = cites or any(_is_cited(found, state.env) for text in texts for found in _CITED.finditer(text))
        if cites and token.type in ("paragraph_close", "heading_close", "table_close"):
            tokens.append(type(token)("amid", "", 0))
            cites = False
    state.tokens = tokens or state.tokens


def _is_cited(found: re.Match[str], env: Mapping[str, Any]) -> bool:
    return int(found[1]) in env.get("cited", ())


def _text(_self: Any, tokens: Sequence[Any], place: int, _options: Any, env: Mapping[str, Any]) -> str:
    def link(found: re.Match[str]) -> str:
        if not _is_cited(found, env):
            return found[0]
        number, opens = int(found[1]), ""
        if env.get("quotes"):
            address, nonce = escape(f"{env['quotes']}{number}{env['at']}"), escape(env["nonce"])
            opens = f' hx-get="{address}" hx-target="next .amid" hx-nonce="{nonce}"'
        return f'<a href="#quote-{number}"{opens}>{found[0]}</a>'

    return _CITED.sub(link, str(escape(tokens[place].content)))


def _open_table(_self: Any, tokens: Sequence[Any], place: int, _options: Any, _env: Any) -> str:
    """A table that scrolls by itself, named by its number and its columns: each region of a page has its own name."""
    number = sum(token.type == "table_open" for token in tokens[: place + 1])
    end = next(at for at in range(place, len(tokens)) if tokens[at].type == "thead_close")
    columns = ", ".join(token.content for token in tokens[place:end] if token.type == "inline")
    name = escape(f"Table {number}: {short(columns, 80)}")
    return f'<div class="scrolls" tabindex="0" role="region" aria-label="{name}"><table>\n'


def _fence(_self: Any, tokens: Sequence[Any], place: int, _options: Any, _env: Any) -> str:
    lines = tokens[place].content.removesuffix("\n").split("\n")
    is_patch = tokens[place].info.strip() in ("diff", "patch")
    shown = _lines(lines) if is_patch else str(escape("\n".join(lines)))
    return f'<pre class="block" tabindex="0"><code>{shown}</code></pre>\n'


def _lines(lines: Sequence[str]) -> str:
    """Lines of a patch, each told apart by its mark."""
    return "\n".join(f'<span class="{_KINDS.get(line[:1], "same")}">{escape(line) or " "}</span>' for line in lines)


_KINDS: Final = {"+": "added", "-": "taken", "@": "place"}


def diff(before: Any, now: Any, most: int = 64_000) -> Markup:
    """What differs between two values, line by line, hidden characters and ends of lines written out.

    Of very much the beginning; of long lines what differs in them.
    """
    lines = _narrowed(_differing(*(_spelled(value) for value in (before, now))))
    shown, room = list[str](), most
    for line in lines:
        if room <= 0:
            break
        shown.append(line[:room])
        room -= len(shown[-1]) + 1
    left = sum(map(len, lines)) - sum(map(len, shown))
    shown += [f"@@ and {left:,} more characters of what differs @@"] if left > 0 else []
    return Markup('<pre class="block" tabindex="0"><code>{}</code></pre>').format(_mark(_lines(shown)))


def _differing(old: list[str], new: list[str]) -> list[str]:
    """The lines that differ, as a patch has them."""
    if len(old) + len(new) > _HELD:
        begin, end = _ends(old, new)
        old, new = old[begin : len(old) - end], new[begin : len(new) - end]
        if len(old) + len(new) > _HELD:
            pairs = zip_longest(old, new)
            return [line for a, b in pairs if a != b for line in (*_marked_by("-", a), *_marked_by("+", b))]
    return list(difflib.unified_diff(old, new, "proposed", "now", lineterm="", n=3))[2:]


def _marked_by(mark: str, line: str | None) -> list[str]:
    return [] if line is None else [f"{mark}{line}"]


def _narrowed(lines: Sequence[str]) -> list[str]:
    """Of long lines what differs in them, and of those that stay as they are the beginning."""
    found = [one if one[:1] != " " or len(one) <= _LONG_LINE else f"{one[:_LONG_LINE]}…" for one in lines]
    for place in range(len(found) - 1):
        old, new = found[place : place + 2]
        if old[:1] == "-" and new[:1] == "+" and max(len(old), len(new)) > _LONG_LINE:
            begin, end = _ends(old[1:], new[1:])
            found[place], found[place + 1] = (_window(line, begin, end) for line in (old, new))
    return found


def _window(line: str, begin: int, end: int) -> str:
    """A marked line without most of what is the same before and after; it says how much that is."""
    before, after = max(0, begin - _BESIDE), max(0, end - _BESIDE)
    start = f"… {before:,} characters …" if before else ""
    rest = f"… {after:,} characters …" if after else ""
    return f"{line[0]}{start}{line[1 + before : len(line) - after]}{rest}"


def _ends(one: Sequence[Any], other: Sequence[Any]) -> tuple[int, int]:
    """How much of the beginnings of two texts, or lists, is the same, and how much of the ends after it."""
    begin = _same(one, other)
    return begin, _same(one[begin:][::-1], other[begin:][::-1])


def _same(one: Sequence[Any], other: Sequence[Any]) -> int:
    """How much of the beginning of two texts, or lists, is the same."""
    least, most = 0, min(len(one), len(other))
    while least < most:
        middle = (least + most + 1) // 2
        least, most = (middle, most) if one[least:middle] == other[least:middle] else (least, middle - 1)
    return least


def _spelled(value: Any) -> list[str]:
    """A value as lines: a text as itself, an object field by field, so that a change within a text shows as one."""
    if isinstance(value, str):
        return make_visible(value).split("\n")
    if isinstance(value, Mapping):
        return [line for name, inner in value.items() for line in _field(str(name), inner)]
    return make_visible(json.dumps(value, ensure_ascii=False, indent=2)).split("\n")


def _field(name: str, value: Any) -> list[str]:
    first, *rest = _spelled(value)
    return [f"{name}: {first}", *(f"    {line}" for line in rest)]


def told_of(body: Mapping[str, Any]) -> str:
    """What an entry of the log is about, in a few words."""
    said = (str(body.get(name) or "") for name in _ABOUT)
    return "".join(f" {short(word, 60)}" for word in said if word)


def in_words(approval: Approval) -> str:
    """What is asked, in one line."""
    args = approval.shown
    match approval.action:
        case _ if approval.is_question:
            return short(str(args.get("question", approval.action)), 160)
        case action if action == SETTLE_OUTCOME:
            return short(f"Did it happen? {approval.reason}", 160)
        case action if action == FOLLOW_PLAN:
            steps = args.get("steps")
            return f"Work by a plan of {counted(len(steps), 'step')}" if isinstance(steps, list) else "Work by a plan"
        case action if action == CONTINUE_RUN:
            return f"Go on for {counted(int(args.get('turns', 0)), 'more turn')}"
        case action if action == RAISE_BUDGET:
            added = ", ".join(f"{name} {value:g}" for name, value in args.items() if isinstance(value, int | float))
            return f"Raise a budget: {added}"
    names = sorted(args, key=lambda name: (_says_little(name), not isinstance(args[name], str)))
    said = [f"{name} {_value(args[name])}" for name in names if _value(args[name])]
    words = approval.action.replace("_", " ").capitalize()
    if said and names[0] in _PREPOSITIONS:
        return short(f"{words} {', '.join(said[:2])}", 120)
    return short(f"{words}: {', '.join(said[:2])}".removesuffix(": "), 120)


def _says_little(name: str) -> int:
    return _SAYS_MOST.index(name) if name in _SAYS_MOST else len(_SAYS_MOST)


def _value(value: Any) -> str:
    """A value in a few words; empty if it takes more."""
    if isinstance(value, list) and value and all(isinstance(one, str) for one in value):
        return short(value[0], 40) if len(value) == 1 else f"{short(value[0], 30)} and {len(value) - 1} more"
    if isinstance(value, bool) or not isinstance(value, str | int | float) or "\n" in str(value).strip():
        return ""
    return short(str(value), 48)
