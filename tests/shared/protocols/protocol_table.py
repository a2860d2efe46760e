"""What comes of each step with a run, whatever a client speaks; and the steps, played through one protocol."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

from doors import Door, Seen

from signoff.checkpoints.ledger import Person
from signoff.desk.service import Service

APPROVE = {"type": "approve"}

COUNTS: dict[str, Any] = {
    "start": "waiting",
    "stream": True,
    "question": "post_letter",
    "reconnect in the middle": ("waiting", "post_letter"),
    "garbage": "bad_answer",
    "words": "bad_answer",
    "wrong id": "unknown",
    "another version": "changed",
    "another tenant's": "unknown",
    "another tenant looks": "unknown",
    "another tenant cancels": "unknown",
    "nothing was sent": [],
    "right answer": "",
    "reconnect": "done",
    "replayed answer": "already_decided",
    "another person's": "not_allowed",
    "expired": "expired",
    "cancel": "stopped",
    "after the cancel": "already_decided",
    "sent": ["Ida: hello (1)"],
}
"""What comes of each where people answer through the protocol."""
ANSWERS = ("garbage", "words", "wrong id", "another version", "another tenant's", "replayed answer", "another person's",
           "expired", "after the cancel")  # fmt: skip
"""What is an answer: where none is taken, each is refused, and people decide at the desk."""


def sent(home: Path) -> list[str]:
    path = home / "sent.txt"
    return path.read_text().splitlines() if path.exists() else []


async def played(door: Door, service: Service, home: Path) -> dict[str, Any]:
    """What came of each row of the table."""
    came, seen = dict[str, Any](), await door.start("post", "write Ida")
    came |= {"start": seen.status, "stream": "clerk" in seen.heard, "question": seen.action}
    (approval,) = service.ledger.approvals.pending()
    seen = replace(seen, run=approval.root, approval=approval.id, sha256=seen.sha256 or approval.shown_sha256)
    again = await door.follow("post", seen)
    came["reconnect in the middle"] = (again.status, again.action)
    came["garbage"] = await door.answer("post", seen, {"type": "maybe", "approved": "true"})
    came["words"] = await door.answer("post", seen, {"message": "I approve"})
    came["wrong id"] = await door.answer("post", replace(seen, approval="a-000000000000"), APPROVE)
    came["another version"] = await door.answer("post", replace(seen, sha256="0" * 64), APPROVE)
    came["another tenant's"] = await door.answer("post", seen, APPROVE, "zed")
    came["another tenant looks"] = (await door.follow("post", seen, "zed")).refused
    came["another tenant cancels"] = await door.cancel("post", seen, "zed")
    came["nothing was sent"] = sent(home)
    following = asyncio.create_task(door.follow("post", seen)) if not door.decides else None
    came["right answer"] = await right_answer(door, service, seen)
    if following is not None:
        await following
    came["reconnect"] = (await door.follow("post", seen)).status
    came["replayed answer"] = await door.answer("post", seen, APPROVE)
    two = await known(door, service, "two", "write Bo")
    came["another person's"] = await door.answer("two", two, APPROVE, "bob")
    came["cancel"] = await door.cancel("two", two)
    came["after the cancel"] = await door.answer("two", two, APPROVE)
    late = await known(door, service, "soon", "write Cy")
    came["expired"] = await door.answer("soon", late, APPROVE)
    came["sent"] = sent(home)
    return came


async def known(door: Door, service: Service, team: str, goal: str) -> Seen:
    """A run with what it asks, or asked."""
    seen, offer = await door.start(team, goal), service.offer(team)
    assert offer is not None
    newest = service.ledger.inbox.runs(Person(""), {"team": offer.name}).items[0]
    (approval,) = [one for one in approvals_of(service) if one.run_id == newest.id]
    return replace(seen, run=newest.id, approval=approval.id, sha256=approval.shown_sha256)


def approvals_of(service: Service) -> list[Any]:
    tabs: tuple[Any, ...] = ("all", "decided")
    return [one.approval for tab in tabs for one in service.ledger.inbox.page(tab, Person("")).items]


async def right_answer(door: Door, service: Service, seen: Seen) -> str:
    if door.decides:
        return await door.answer("post", seen, APPROVE)
    person = service.ledger.people.holder(door.place.tokens["ann"], "token")
    assert person is not None
    await service.answer(seen.approval, APPROVE, person, seen=seen.sha256)
    return ""
