"""LangGraph Server as one more protocol, in the hands of its own clients, in Python and in JavaScript."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import httpx
from doors import Door, Node, Seen
from langgraph_sdk import get_client

REASONS = {
    "no decision": "bad_answer",
    "no 'type'": "bad_answer",
    "has the type": "bad_answer",
    "field approval_id": "unknown",
    "(approval_id": "unknown",
    "(args_sha256": "changed",
    "may not": "not_allowed",
    "not allowed": "not_allowed",
}
"""What the question says of an answer that did not count, and the code that the other protocols have for it."""


@dataclass
class Told:
    """What came of a request."""

    parts: list[tuple[str, Any]] = field(default_factory=list)
    state: Any = None
    status: int = 0
    """That of HTTP, where it was refused."""


class LangGraph(Door):
    """By the SDK for Python."""

    async def _ask(self, who: str, thread: str = "", *, team: str = "", **given: Any) -> Told:
        """Make a thread unless one is named, do this in it, and look at it."""
        client, told = get_client(url=self.place.address, headers=self.place.headers(who)), Told()
        try:
            thread = thread or (await client.threads.create())["thread_id"]
            if team:
                async for part in client.runs.stream(thread, team, stream_mode=["updates"], **given):
                    told.parts.append((part.event, part.data))
            told.state = await client.threads.get(thread)
        except httpx.HTTPStatusError as error:
            told.status = error.response.status_code
        finally:
            await client.http.client.aclose()
        return told

    def _seen(self, told: Told, thread: str = "") -> Seen:
        if told.state is None:
            return Seen(thread, "", thread=thread, refused={404: "unknown", 401: "not_signed_in"}[told.status])
        thread, values = told.state["thread_id"], told.state["values"] or {}
        heard = [node for event, data in told.parts if event == "updates" for node in data]
        questions = [one["value"] for some in (told.state["interrupts"] or {}).values() for one in some]
        if told.state["status"] != "interrupted":
            ended = values["run"]["ended"] if told.state["status"] == "idle" else "failed"
            return Seen(thread, ended, heard, thread=thread)
        (asked,) = questions
        known = asked["action_requests"][0]["name"], asked["approval_id"], asked["args_sha256"]
        return Seen(thread, "waiting", heard, *known, thread)

    async def start(self, team: str, goal: str, who: str = "ann") -> Seen:
        return self._seen(await self._ask(who, team=team, input={"goal": goal}))

    async def follow(self, team: str, seen: Seen, who: str = "ann") -> Seen:
        return self._seen(await self._ask(who, seen.thread), seen.thread)

    async def answer(self, team: str, seen: Seen, answer: Any, who: str = "ann") -> str:
        """As clients do: whatever stands in the thread is answered; what it names is of that question or of none."""
        if isinstance(answer, dict) and answer.get("type") in ("approve", "reject"):
            answer = {**answer, "approval_id": seen.approval, "args_sha256": seen.sha256}
        before = await self._ask(who, seen.thread)
        if before.state is None:
            return self._seen(before, seen.thread).refused
        told = await self._ask(who, seen.thread, team=team, command={"resume": answer})
        if told.state["status"] == "interrupted":
            (asked,) = [one["value"] for some in told.state["interrupts"].values() for one in some]
            said = asked["action_requests"][0]["description"]
            return next((code for words, code in REASONS.items() if words in said), said)
        outcomes = told.state["values"].get("outcomes", [])
        if outcomes == (before.state["values"] or {}).get("outcomes", []):
            return "expired" if outcomes[-1]["status"] == "expired" else "already_decided"
        return "" if outcomes[-1]["status"] in ("done", "denied") else str(outcomes[-1]["status"])

    async def cancel(self, team: str, seen: Seen, who: str = "ann") -> str:
        """What waits is refused, by which the run ends."""
        refused = await self.answer(team, seen, {"type": "reject", "message": "cancelled"}, who)
        return refused or (await self.follow(team, seen, who)).status


class Aegra(LangGraph):
    """Aegra by the same SDK: a thread tells its values where its state is asked for, and 400 is nothing to answer."""

    async def _ask(self, who: str, thread: str = "", *, team: str = "", **given: Any) -> Told:
        told = await super()._ask(who, thread, team=team, **given)
        if told.status == 400 and thread:
            return replace(await self._ask(who, thread), status=400)
        if told.state is not None:
            client = get_client(url=self.place.address, headers=self.place.headers(who))
            state = await client.threads.get_state(told.state["thread_id"])
            await client.http.client.aclose()
            asked = {str(task["id"]): task["interrupts"] for task in state["tasks"] if task["interrupts"]}
            told.state = {**told.state, "values": state["values"], "interrupts": asked}
        return told


class LangGraphNode(Node, LangGraph):
    """By the SDK for JavaScript."""

    script = "langgraph.mjs"

    async def _ask(self, who: str, thread: str = "", *, team: str = "", **given: Any) -> Told:
        stream = {"team": team, "given": given} if team else None
        asked = {"url": self.place.address, "token": self.place.tokens[who], "thread": thread}
        told = await self.ask({**asked, "create": not thread, "stream": stream})
        parts = [(part["event"], part["data"]) for part in told["parts"]]
        return Told(parts, told["state"], told["status"])


class Inboxes(Node, LangGraph):
    """Inboxes of others: their own code reads what waits, and makes what they send."""

    script = "inboxes.mjs"

    async def decide(self, client: str, choice: str, **edits: str) -> tuple[dict[str, Any], dict[str, Any]]:
        """Have a letter asked about and answered in this way: what the inbox makes of it, and the outcome."""
        seen = await self.start("post", "write Ida")
        thread = (await self._ask("ann", seen.thread)).state
        told = await self.ask({"client": client, "thread": thread, "choice": choice, "edits": edits})
        after = await self._ask("ann", seen.thread, team="post", command={"resume": told["resume"]})
        return told, after.state["values"]["outcomes"][-1]
