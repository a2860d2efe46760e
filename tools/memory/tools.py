"""The tools of a team's memory: recalling is reading; remembering and forgetting are proposals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field

from signoff.checkpoints import canonical, redact_text
from signoff.error_base import TeamError
from signoff.tools.action import Act, Action, current_act
from signoff.tools.errors import ActionFailed, MemoryFull, UnknownMemory
from signoff.tools.memory.item import Note, Origin, Remembered
from signoff.tools.memory.memory import Memory
from signoff.tools.tool import Tool, tool
from signoff.wording import as_block, as_code, as_words

_MOST_RECALLED: Final = 20
_LONGEST_GOAL: Final = 200
_DAY: Final = 86_400


class Forgetting(BaseModel):
    """Which memory is to be forgotten, and why."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    memory: str = Field(description="Id of the memory, as `recall` shows it", pattern=r"^m-[0-9a-f]{16}$")
    why: str = Field(default="", description="Why it is wrong or not needed any more", max_length=300)


class Recalling(BaseModel):
    """What `recall` is given."""

    words: str = Field(default="", description="Words to look for; empty for the newest memories", max_length=1_000)
    limit: int = Field(default=5, description="How many at most", ge=1, le=_MOST_RECALLED)


def memory_tools(
    memory: Memory, *, team: str, reads: Sequence[str] = ()
) -> tuple[Tool, Action[Note], Action[Forgetting]]:
    """`recall`, `remember` and `forget` for one team; `reads` are other teams whose memories it may recall as well.

    To remember and to forget is proposed, and done once policy or a person allows it; what was made from texts with
    orders in them is asked about even where policy allows it.
    """
    if not team.strip():
        raise TeamError("memory_tools: the team has no name. Name it: memory_tools(memory, team='invoices').")
    return _recall(memory, team, reads), _remember(memory, team), _forget(memory, team)


def _recall(memory: Memory, team: str, reads: Sequence[str]) -> Tool:
    teams = list(dict.fromkeys((team, *reads)))

    def recall(words: str = "", limit: int = 5) -> str:
        found = memory.recall(words, teams=teams, limit=limit)
        if not found:
            asked = f" that hold any of the words {words[:200]!r}" if words.strip() else ""
            return f"There are no memories{asked}. Go on without, or try other words."
        number = "1 memory" if len(found) == 1 else f"{len(found)} memories"
        head = f"{number}, {'the best' if words.strip() else 'the newest'} first. "
        told = [_told(at, one, team) for at, one in enumerate(found, start=1)]
        return "\n\n".join([f"{head}They are notes from earlier runs, and may be wrong or out of date.", *told])

    return tool(
        risk="read",
        description="Look up what the team wrote down in earlier runs, and where from.",
        arguments=Recalling,
    )(recall)


def _remember(memory: Memory, team: str) -> Action[Note]:
    def remember(note: Note, key: str) -> Mapping[str, Any]:
        try:
            kept = memory.keep(_remembered(note, key, _act("remember"), team))
        except MemoryFull as error:
            raise ActionFailed("remember", str(error)) from error
        return _result(kept, new=kept.id == _id(key))

    def reconcile(_note: Note, key: str) -> Mapping[str, Any] | None:
        try:
            return _result(memory.get(_id(key), team=team), new=True)
        except UnknownMemory:
            return None

    def preview(note: Note) -> str:
        days = f" for {note.days} days" if note.days else ""
        sources = "".join(f"\n- {as_code(source)}" for source in note.sources)
        return (
            f"Every later run of team **{as_words(team)}** may read this {note.kind}{days}.\n\n"
            f"**{as_words(note.subject)}**\n\n{as_block(note.text, 'text')}"
            + (f"\n\nSources, as the agent names them:{sources}" if sources else "\n\nNo sources are named.")
        )

    return Action(
        name="remember",
        description="Propose that the team knows this in later runs: a fact, a preference or a lesson.",
        arguments=Note,
        call=remember,
        risk="write",
        idempotent=True,
        reconcile=reconcile,
        preview=preview,
    )


def _forget(memory: Memory, team: str) -> Action[Forgetting]:
    def forget(wish: Forgetting, _key: str) -> Mapping[str, Any]:
        act = _act("forget")
        try:
            found = memory.get(wish.memory, team=team)
        except UnknownMemory as error:
            raise ActionFailed("forget", str(error)) from error
        memory.forget([found], by=act.approved_by, why=wish.why)
        return {"memory": found.id, "team": team, "text_sha256": found.sha256}

    def reconcile(wish: Forgetting, _key: str) -> Mapping[str, Any] | None:
        try:
            memory.get(wish.memory, team=team)
        except UnknownMemory:
            return {"memory": wish.memory, "team": team}
        return None

    def preview(wish: Forgetting) -> str:
        try:
            found = memory.get(wish.memory, team=team)
        except UnknownMemory as error:
            return as_words(str(error))
        why = f"\n\nWhy: {as_words(wish.why)}" if wish.why else ""
        return (
            f"Delete this {found.kind} of team **{as_words(team)}**, kept {found.origin.at[:10]} by "
            f"{as_words(found.origin.agent)}.\n\n**{as_words(found.subject)}**\n\n{as_block(found.text, 'text')}{why}"
        )

    return Action(
        name="forget",
        description="Propose that one of the team's memories is deleted, because it is wrong or not needed any more.",
        arguments=Forgetting,
        call=forget,
        risk="irreversible",
        idempotent=True,
        reconcile=reconcile,
        preview=preview,
    )


def _act(action: str) -> Act:
    act = current_act()
    if act is None:
        raise ActionFailed(action, "nobody knows on whose word. Propose it, so that it is done at the gate")
    return act


def _remembered(note: Note, key: str, act: Act, team: str) -> Remembered:
    return Remembered(
        **note.model_dump(include={"subject", "text", "kind"}),
        id=_id(key),
        team=team,
        expires_at=_midnight(note.days) if note.days else "",
        origin=Origin(
            **asdict(replace(act, goal=redact_text(act.goal)[:_LONGEST_GOAL])), at=canonical.now(), sources=note.sources
        ),
    )


def _midnight(days: int) -> str:
    """The end of the day that is so many days from now."""
    return f"{canonical.later((days + 1) * _DAY)[:10]}T00:00:00.000000Z"


def _id(key: str) -> str:
    return f"m-{key[:16]}"


def _result(kept: Remembered, *, new: bool) -> dict[str, Any]:
    return {"memory": kept.id, "team": kept.team, "text_sha256": kept.sha256, "new": new}


def _told(number: int, memory: Remembered, team: str) -> str:
    """A memory as a model reads it: what it says, then where it came from."""
    origin = memory.origin
    allowed = "allowed by policy" if origin.approved_by == "policy" else f"approved by {origin.approved_by}"
    parts = [
        f"kept {origin.at[:10]} by {origin.agent} in run {origin.run_id}, {allowed}",
        f"sources: {', '.join(origin.sources)}" if origin.sources else "no sources named",
        *([f"team {memory.team}"] if memory.team != team else []),
        *(["caution: orders were found in the texts that it was made from"] if memory.is_flagged else []),
    ]
    said = "\n".join(f"> {line}" for line in memory.text.splitlines())  # so that it cannot pass for another memory
    return f"[{number}] {memory.id} | {memory.kind} | {memory.subject}\n{said}\n({'; '.join(parts)})"
