"""One table for all protocols: whatever a client speaks, the same counts and the same is refused."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from shutil import which
from typing import Any

import pytest

pytest.importorskip("a2a", reason="the extra `protocols` is not installed")
pytest.importorskip("mcp", reason="the extra `mcp` is not installed")

from doors import A2a, AgUi, AgUiNode, Door, Mcp, Place, Plain, Seen, serving, tokens_of

from signoff.checkpoints.ledger import Person
from signoff.desk.service import Service

CLIENT = Path(__file__).with_name("clients") / "ag_ui.mjs"
MODULES = Path(sys.prefix) / "node_modules" / "@ag-ui" / "client"
INSTALL = f"needs Node and its client: npm install --prefix {sys.prefix} @ag-ui/client@1.0.0"
NODE = pytest.mark.skipif(which("node") is None or not MODULES.is_dir(), reason=INSTALL)
DOORS = [Plain, AgUi, pytest.param(AgUiNode, marks=NODE), A2a, Mcp]
APPROVE = {"type": "approve"}

COUNTS: dict[str, Any] = {
    "start": "waiting",
    "stream": True,
    "question": "post_letter",
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


@asynccontextmanager
async def client_of(kind: type[Door], place: Place) -> AsyncIterator[Door]:
    if kind is not AgUiNode:
        yield kind(place)
        return
    pipe = asyncio.subprocess.PIPE
    AgUiNode.process = await asyncio.create_subprocess_exec(
        "node", str(CLIENT), sys.prefix, stdin=pipe, stdout=pipe, limit=2**22
    )
    try:
        yield kind(place)
    finally:
        AgUiNode.process.kill()
        await AgUiNode.process.wait()
        AgUiNode.process._transport.close()  # type: ignore[attr-defined]  # its pipes, before the loop is closed


def sent(home: Path) -> list[str]:
    path = home / "sent.txt"
    return path.read_text().splitlines() if path.exists() else []


async def played(door: Door, service: Service, home: Path) -> dict[str, Any]:
    """What came of each row of the table."""
    came, seen = dict[str, Any](), await door.start("post", "write Ida")
    came |= {"start": seen.status, "stream": "clerk" in seen.heard, "question": seen.action}
    (approval,) = service.ledger.approvals.pending()
    seen = replace(seen, run=approval.root, approval=approval.id, sha256=seen.sha256 or approval.shown_sha256)
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


@pytest.mark.parametrize("kind", DOORS)
def test_the_same_counts_and_the_same_is_refused_whatever_a_client_speaks(
    kind: type[Door], service: Service, home: Path
) -> None:
    tokens = tokens_of(service.ledger, ann=("finance",), bob=(), zed=("tenant:zeta",))

    async def work() -> dict[str, Any]:
        async with serving(service, tokens) as place, client_of(kind, place) as door:
            return await played(door, service, home)

    came = asyncio.run(work())
    if not kind.decides:
        assert all(came[row] for row in ANSWERS), came
        came |= {row: COUNTS[row] for row in ANSWERS}
    assert came == COUNTS
