"""What a person is asked: words of the gate, and between them, told apart, what agents, tools and documents say.

`passages_of` says it in parts. Markdown for clients is made of them in `describe`, lines for a terminal at the desk:
nothing of what others say is hidden by how it is shown, and none of it can stand where the gate speaks.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from signoff.agents.safety import addresses_of, look_alikes
from signoff.checkpoints.ledger import Approval
from signoff.tools import Action, Words
from signoff.tools.files import with_warning
from signoff.wording import as_block, as_code, as_quotation, as_words, make_visible, one_line

FLAGGED: Final = (
    "Caution: something in this, or in the texts that it was made from, is odd. Such texts are data, not the goal. "
    "Make sure that it is what you want:"
)
MANY: Final = 20
"""Questions that wait together and are each told in full; of more, each in a line."""
_LINE: Final = 100
"""Characters of it."""
_LONGEST_MARKDOWN: Final = 50_000
"""Characters of a preview that are looked at for what clients would not show; a longer one is shown as its source."""
_DEEPEST: Final = 12
"""Levels of markup in a preview; clients leave no room for what lies deeper."""

_PLAIN: Final = frozenset(
    "inline text softbreak code_inline strong_open strong_close fence paragraph_open paragraph_close "
    "bullet_list_open bullet_list_close list_item_open list_item_close".split()
)
"""Markup of which every client shows all that it holds."""
_LONG_LINE: Final = 500


@dataclass(frozen=True)
class Passage:
    """A part of what is asked, and who speaks."""

    kind: Literal["gate", "caution", "words", "list", "preview"]
    """gate, caution: the gate itself; words: one line of somebody else; list: several; preview: Markdown of a tool."""
    lines: tuple[str, ...]

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    @property
    def markdown(self) -> str:
        match self.kind:
            case "gate":
                return as_words(self.text)
            case "caution":
                return f"**{as_words(self.text)}**"
            case "preview":
                return as_quotation(_seen_whole(self.text))
            case _:
                return "\n".join(f"- {as_code(line)}" for line in self.lines)


def in_a_line(passages: Sequence[Passage]) -> str:
    """The beginning of what it is, as one of many; empty if there is nothing to say, or something odd, told in full."""
    if any(one.kind == "caution" for one in passages):
        return ""
    said = " ".join(one_line(line) for one in passages if one.kind == "preview" for line in one.lines if line.strip())
    return said if len(said) <= _LINE else f"{said[: _LINE - 1]}…"


def question_payload(approval: Approval, action: Action[Any], problem: str, among: int = 1) -> dict[str, Any]:
    """What is asked, as agent-inbox, agent-chat-ui, deep-agents-ui and Studio render it, and what our desk needs.

    `among` is the number of its kind that are asked about together.
    """
    args = {**approval.shown, "answer": _to_fill_in(action)} if action.form is not None else approval.shown
    request = {
        "name": approval.action,
        "args": args,
        "arguments": args,  # agent-inbox reads this name
        "description": describe(approval, action, problem, among),
    }
    allowed = ["approve", "edit", "reject"] if action.form is None else ["respond", "edit", "reject"]
    review = {"action_name": approval.action, "allowed_decisions": allowed}
    review |= {"actionName": approval.action, "allowedDecisions": allowed}  # deep-agents-ui reads these names
    return {
        "action_requests": [request],
        "review_configs": [review],
        "approval_id": approval.id,
        "args_sha256": approval.shown_sha256,
        "expires_at": approval.expires_at,
        "risk": approval.risk,
        "flags": list(approval.flags),
        "run_id": approval.run_id,
        "authority": approval.authority.as_json(),
        "agreed": [vote.name for vote in approval.votes],
        "dry_run": approval.dry_run,
    }


def _to_fill_in(action: Action[Any]) -> Any:
    """What stands for the answer to a question where clients let people edit it."""
    if action.form is None or action.form is Words:
        return ""
    properties = action.form.model_json_schema().get("properties", {})
    return {name: part.get("default") for name, part in properties.items()}


def describe(approval: Approval, action: Action[Any] | None, problem: str = "", among: int = 1) -> str:
    """The question in Markdown; without the action, which another program may have, it has no preview."""
    return "\n\n".join(passage.markdown for passage in passages_of(approval, action, problem, among))


def passages_of(approval: Approval, action: Action[Any] | None, problem: str = "", among: int = 1) -> Iterator[Passage]:
    """What became of the last answer, who proposes what and why, what to beware of, who decides, and what it is."""
    if problem:
        yield Passage("caution", (one_line(problem),))
    if among > 1:
        yield Passage("gate", (f"It is one of {among} of its kind that wait together; each is decided by itself.",))
    does = "asks a question" if approval.is_question else f"proposes {one_line(approval.action)}"
    yield Passage("gate", (f"{one_line(approval.proposed_by)} {does}.",))
    if approval.reason.strip():
        yield Passage("gate", ("Why, in its own words:",))
        yield Passage("words", (approval.reason,))
    if approval.dry_run and not approval.is_question:
        yield Passage("gate", ("Dry run: nothing is called, whatever you decide.",))
    if flags := cautions_of(approval):
        yield Passage("caution", (FLAGGED,))
        yield Passage("list", flags)
    if approval.standing:
        yield Passage("gate", (one_line(approval.standing),))
    if approval.shown_sha256 != approval.proposed_sha256:
        yield Passage("gate", ("The arguments were edited since they were proposed.",))
    if action is not None and (touches := str(action.touches)):
        yield Passage("gate", (f"It may touch: {one_line(touches)}.",))
    yield Passage("gate", ("The question:" if approval.is_question else "What it is:",))
    preview = _preview(approval.shown, action)
    yield Passage("preview", tuple(make_visible(with_warning(preview, approval.shown)).split("\n")))
    if (longest := max(map(len, preview.split("\n")))) > _LONG_LINE:
        yield Passage("gate", (f"Its longest line has {longest:,} characters; read it to its end.",))
    if rest := _not_in(preview, approval.shown):
        yield Passage("gate", ("The rest of its arguments:",))
        yield Passage("list", rest)
    has_preview = action is not None and action.preview is not None
    addresses = addresses_of({**approval.shown, "": preview} if has_preview else approval.shown)
    if addresses:
        yield Passage("gate", ("Addresses in it:",))
        yield Passage("list", addresses)
    if approval.is_question:
        yield Passage("gate", ("Answer it, or reject it to decline. An answer approves nothing.",))


def cautions_of(approval: Approval) -> tuple[str, ...]:
    """What to beware of: as it was found when it was proposed, and in the arguments as they stand now."""
    return tuple(dict.fromkeys((*approval.flags, *look_alikes(approval.shown))))


def standing_after(before: Approval, now: Approval) -> str:
    """What became of an approval that did not decide yet."""
    if now.votes == before.votes and now.shown_sha256 == before.shown_sha256:
        return "You have agreed already; somebody else has to agree as well."
    return "Your last answer counts, and more is needed."


def exactly(args: Mapping[str, Any]) -> str:
    """The arguments as JSON, all of it visible; texts that have lines are also easier to read, in the preview."""
    return make_visible(json.dumps(args, ensure_ascii=False, indent=2))


def _preview(args: Mapping[str, Any], action: Action[Any] | None) -> str:
    block = as_block(exactly(args), "json")
    if action is None:
        return block
    try:
        if action.preview is not None:
            return action.preview(action.arguments.model_validate(args))
    except Exception as error:  # a preview is somebody else's code, and must not keep a person from deciding
        block += f"\n\n(It has no preview: {as_code(f'{type(error).__name__}: {error}')})"
    return f"{action.description}\n\n{block}"


def _not_in(preview: str, args: Mapping[str, Any]) -> tuple[str, ...]:
    """The arguments that the preview does not show whole, each a line of JSON."""
    if exactly(args) in preview:
        return ()
    return tuple(
        f"{name}: {json.dumps(value, ensure_ascii=False)}"
        for name, value in args.items()
        if not _stands(value, preview)
    )


def _stands(value: Any, preview: str) -> bool:
    """Whether every text and number of an argument stands in the preview."""
    if isinstance(value, str):
        return any(one.removesuffix("\n") in preview for one in _spellings(value))
    if isinstance(value, Mapping):
        return all(_stands(inner, preview) for inner in value.values())
    if isinstance(value, list | tuple):
        return all(_stands(inner, preview) for inner in value)
    return value is None or re.search(rf"(?<![\w.]){re.escape(json.dumps(value))}(?!\w|\.\d)", preview) is not None


def _spellings(text: str) -> Iterator[str]:
    """The ways in which previews write a text."""
    yield text
    yield make_visible(text)
    spelled = json.dumps(text, ensure_ascii=False)[1:-1]
    yield spelled
    yield make_visible(spelled)
    yield as_code(text).strip("` ")


def _seen_whole(markdown: str) -> str:
    """The preview, or its source as a block if a client that renders it would hide some of it."""
    return as_block(markdown, "markdown") if len(markdown) > _LONGEST_MARKDOWN or _hides(markdown) else markdown


def _hides(markdown: str) -> bool:
    from markdown_it import MarkdownIt

    kept: dict[str, Any] = {}
    reader = MarkdownIt("commonmark").enable(["table", "strikethrough"])
    reader.validateLink = lambda _: True  # type: ignore[method-assign,assignment]  # others do show `javascript:` as a link
    tokens = reader.parse(markdown, kept)
    return bool(kept.get("references")) or any(
        token.type not in _PLAIN
        or token.level > _DEEPEST
        or (token.type == "fence" and not re.fullmatch(r"\w*", token.info))
        or (token.type == "inline" and re.search(r"&#?\w+;|\$.*\$|\[\^", token.content, re.DOTALL))
        or any(inner.type not in _PLAIN for inner in token.children or ())
        for token in tokens
    )
