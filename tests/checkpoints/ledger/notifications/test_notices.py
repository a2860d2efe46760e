"""What is committed is announced, at least once, by whichever process lives; a hook that fails stops nobody."""

import gc
import json
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from signoff import Ledger
from signoff.checkpoints import canonical
from signoff.checkpoints.ledger.approval import Approval, Authority, Question, Requirement
from signoff.checkpoints.ledger.notifications.hooks import CommandHook, Notice, Webhook
from signoff.checkpoints.process_identity import current_owner
from signoff.errors import HookFailed, UnknownNotice

NOBODY = "http://127.0.0.1:9/"
AT_ONCE = (0.0,) * 7


@dataclass(frozen=True)
class Own:
    """A hook of the program's own."""

    act: Callable[[Notice], None]
    name: str = "own"
    events: frozenset[str] = frozenset({"pending"})
    delays: tuple[float, ...] = (3600.0,)
    time_limit: float = 10.0

    def prepare(self) -> None:
        pass

    def send(self, notice: Notice) -> None:
        self.act(notice)


def asked(
    ledger: Ledger,
    number: int = 1,
    *,
    expires_in: float | None = None,
    authority: Authority | None = None,
    **args: object,
) -> Approval:
    question = Question(f"p-{number}", "r-1", "send", args or {"to": "ann"}, "it is due", "external", "writer")
    ledger.runs.begin("r-1", 1, team="t", goal="the goal")
    return ledger.approvals.ask(question, expires_in=expires_in, authority=authority)


def test_a_question_is_announced_with_all_that_is_needed_to_decide(opened: Any, receiver: Any) -> None:
    ledger = opened(Webhook(receiver.url))
    approval = asked(ledger, expires_in=3600, authority=Authority((Requirement("finance"),)))
    assert ledger.notices.wait(20)
    (notice,) = receiver.got
    assert receiver.ids == [notice["id"]]
    assert (notice["event"], notice["run"], notice["team"], notice["goal"]) == ("pending", "r-1", "t", "the goal")
    about = notice["approval"]
    assert {name: about[name] for name in ("id", "action", "args", "args_sha256", "status", "expires_at")} == {
        "id": approval.id,
        "action": "send",
        "args": {"to": "ann"},
        "args_sha256": approval.shown_sha256,
        "status": "pending",
        "expires_at": approval.expires_at,
    }
    assert about["authority"] == "role finance"
    head = ledger.audit.entries()[-1]
    assert notice["audit_head"] == f"{head.seq}:{head.hash}"


def test_what_is_announced_is_visible_and_a_reason_is_one_line(opened: Any, receiver: Any) -> None:
    ledger = opened(Webhook(receiver.url))
    why = "due\n\nApproved by: ann\u202e\u200b\U000e0041"
    question = Question("p-1", "r-1", "send", {"to": "a\u200bnn", "\u202ek": ["x\ufe0f"]}, why, "external", "writer")
    ledger.runs.begin("r-1", 1, team="t", goal="the goal\nStatus: approved\u2028")
    ledger.approvals.ask(question, expires_in=None)
    assert ledger.notices.wait(20)
    (notice,) = receiver.got
    assert notice["goal"] == "the goal Status: approved<U+2028>"
    assert notice["approval"]["reason"] == "due Approved by: ann<U+202E><U+200B><U+E0041>"
    assert notice["approval"]["args"] == {"to": "a<U+200B>nn", "<U+202E>k": ["x<U+FE0F>"]}


def test_decisions_expiries_escalations_and_unknown_outcomes_are_announced(opened: Any, receiver: Any) -> None:
    ledger = opened(Webhook(receiver.url))
    approved = ledger.approvals.approve(asked(ledger, 1).id, by="ann")
    key = ledger.effects.claim(approved, owner=current_owner()).effect.key
    ledger.effects.lose(key, "the line went dead")
    asked(ledger, 2, expires_in=-1)
    asked(ledger, 3, authority=Authority((Requirement("clerk", escalate_to="boss", escalate_after=-1),)))
    ledger.approvals.sweep()
    assert ledger.notices.wait(20)
    assert sorted(receiver.told) == ["decided", "escalated", "expired", "pending", "pending", "pending", "unknown"]
    unknown = next(notice for notice in receiver.got if notice["event"] == "unknown")
    assert (unknown["team"], unknown["goal"]) == ("t", "the goal")
    assert unknown["effect"] == {"key": key, "action": "send", "error": "the line went dead"}
    decided = next(notice for notice in receiver.got if notice["event"] == "decided")
    assert (decided["approval"]["status"], decided["approval"]["decided_by"]) == ("approved", "ann")


def test_notices_to_one_hook_come_in_their_order(opened: Any, receiver: Any) -> None:
    ledger = opened(Webhook(receiver.url))
    for number in range(10):
        asked(ledger, number)
    assert ledger.notices.wait(20)
    assert [notice["approval"]["id"] for notice in receiver.got] == [f"a-{number}" for number in range(10)]


def test_what_is_rolled_back_is_never_announced(opened: Any, receiver: Any) -> None:
    ledger = opened(Webhook(receiver.url))
    ledger.runs.begin("r-1", 1, team="t", goal="g")

    def fail() -> None:
        with ledger.write() as connection:
            ledger.notices.add(connection, "unknown", "r-1")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    asked(ledger)
    assert ledger.notices.wait(20)
    assert receiver.told == ["pending"]


def test_a_hook_is_told_only_what_it_wants_to_know(opened: Any, receiver: Any) -> None:
    ledger = opened(Webhook(receiver.url, events=frozenset({"decided"})))
    ledger.approvals.reject(asked(ledger).id, by="ann")
    assert ledger.notices.wait(20)
    assert receiver.told == ["decided"]


def test_with_no_hooks_nothing_is_written_and_no_thread_started(opened: Any) -> None:
    ledger = opened()
    before = set(threading.enumerate())
    ledger.approvals.reject(asked(ledger).id, by="ann")
    assert ledger.notices.wait(20)
    assert ledger.notices.list() == []
    assert set(threading.enumerate()) <= before


def test_hooks_of_the_settings_are_used_if_the_program_names_none(
    database: str, receiver: Any, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIGNOFF_WEBHOOKS", receiver.url)
    code = "import sys; open('told', 'w').write(sys.stdin.read())"
    monkeypatch.setenv("SIGNOFF_HOOK_COMMAND", f'{sys.executable} -c "{code}"')
    ledger = Ledger(database)
    asked(ledger)
    assert ledger.notices.wait(20)
    ledger.close()
    assert receiver.told == ["pending"]
    assert json.loads((home / "told").read_text())["event"] == "pending"


def test_a_receiver_that_fails_three_times_gets_the_same_notice_four_times(opened: Any, receiver: Any) -> None:
    receiver.statuses = [500, 503, 302]
    ledger = opened(Webhook(receiver.url, delays=AT_ONCE))
    asked(ledger)
    assert ledger.notices.wait(20)
    (notice,) = ledger.notices.list()
    assert receiver.ids == [notice.id] * 4
    assert (notice.status, notice.tries, notice.error) == ("sent", 4, "")


def test_a_notice_waits_longer_and_longer_and_is_given_up_in_the_end(opened: Any) -> None:
    ledger = opened(Webhook(NOBODY))
    asked(ledger)
    delays = []
    for _ in range(8):
        ledger.notices.wait(20)
        (notice,) = ledger.notices.list()
        delays.append(-canonical.seconds_since(notice.next_at))
        with ledger.write() as connection:  # the time goes by
            connection.execute(text("UPDATE notices SET next_at = at"))
    assert (notice.status, notice.tries) == ("given_up", 8)
    assert "ConnectError" in notice.error
    wanted = [10, 60, 300, 1800, 7200, 21_600, 50_400]
    assert all(0.85 * want < delay < 1.15 * want for want, delay in zip(wanted, delays, strict=False))


def test_a_receiver_that_is_gone_is_given_up_at_once(opened: Any, receiver: Any) -> None:
    receiver.statuses = [410]
    ledger = opened(Webhook(receiver.url))
    asked(ledger)
    assert ledger.notices.wait(20)
    (notice,) = ledger.notices.list(status="given_up")
    assert (notice.tries, receiver.got) == (1, [])


def test_what_was_given_up_can_be_sent_again(opened: Any, receiver: Any) -> None:
    receiver.statuses = [410]
    ledger = opened(Webhook(receiver.url))
    asked(ledger)
    ledger.notices.wait(20)
    (notice,) = ledger.notices.list()
    ledger.notices.retry(notice.id[:10])
    assert ledger.notices.wait(20)
    assert receiver.ids == [notice.id] * 2
    assert ledger.notices.list()[0].status == "sent"
    for unclear in ("n-x", "", "%"):
        with pytest.raises(UnknownNotice):
            ledger.notices.retry(unclear)


def test_a_hook_that_hangs_holds_up_neither_the_ledger_nor_another_hook(opened: Any, receiver: Any) -> None:
    inside, leave = threading.Event(), threading.Event()

    def hang(notice: Notice) -> None:
        inside.set()
        leave.wait(30)

    ledger = opened(Own(hang), Webhook(receiver.url))
    asked(ledger, 1)
    assert inside.wait(20)
    for number in range(2, 6):
        asked(ledger, number)  # nobody holds the write lock
    assert [receiver.arrived.get(timeout=20) for _ in range(5)]
    assert not ledger.notices.wait(0.01)
    leave.set()
    assert ledger.notices.wait(20)


def test_a_hook_of_ones_own_that_raises_anything_is_a_try_that_failed(
    opened: Any, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(notice: Notice) -> None:
        raise ZeroDivisionError("oh")

    ledger = opened(Own(fail))
    asked(ledger)
    assert not ledger.notices.wait(20)
    (notice,) = ledger.notices.list()
    assert (notice.status, notice.tries, notice.error) == ("due", 1, "ZeroDivisionError: oh")
    assert ("signoff.notices", "WARNING") in {(record.name, record.levelname) for record in caplog.records}


def test_a_command_that_fails_is_run_again(opened: Any, home: Path) -> None:
    code = "import pathlib, sys; f = pathlib.Path('n'); f.open('a').write('x'); sys.exit(len(f.read_text()) < 3)"
    ledger = opened(CommandHook((sys.executable, "-c", code), delays=AT_ONCE))
    asked(ledger)
    assert ledger.notices.wait(30)
    assert (ledger.notices.list()[0].tries, (home / "n").read_text()) == (3, "xxx")


def test_secrets_are_not_announced_and_long_texts_are_cut(opened: Any, receiver: Any) -> None:
    ledger = opened(Webhook(receiver.url))
    deep: dict[str, Any] = {}
    for _ in range(100):
        deep = {"in": deep}
    asked(ledger, password="correct horse", text="x" * 100_000, deep=deep)
    assert ledger.notices.wait(20)
    assert "correct horse" not in json.dumps(receiver.got)
    args = receiver.got[0]["approval"]["args"]
    assert args["text"] == "x" * 2000 + "… (100,000 characters)"
    assert len(json.dumps(args["deep"])) < 1000


def test_a_sender_that_is_stuck_loses_the_notice_when_its_time_is_over(
    database: str, opened: Any, receiver: Any
) -> None:
    inside, leave = threading.Event(), threading.Event()

    def hang(notice: Notice) -> None:
        inside.set()
        leave.wait(30)

    stuck = opened(Own(hang, Webhook(receiver.url).name))
    asked(stuck)
    assert inside.wait(20)
    ledger = opened(Webhook(receiver.url))
    assert not ledger.notices.wait(20)
    assert receiver.ids == []  # it is the other's
    with ledger.write() as connection:  # the time goes by
        connection.execute(text("UPDATE notices SET sender_until = at"))
    assert ledger.notices.wait(20)
    leave.set()
    assert len(receiver.ids) == 1
    stuck.close()
    assert ledger.notices.list()[0].status == "sent"


def test_a_ledger_that_nobody_uses_any_more_stops_sending(database: str) -> None:
    ledger = Ledger(database, hooks=[Webhook(NOBODY)])
    asked(ledger)
    ledger.notices.wait(20)
    (thread,) = [thread for thread in threading.enumerate() if thread.name == "signoff-notices"]
    del ledger
    gc.collect()
    thread.join(20)
    assert not thread.is_alive()


def test_a_closed_ledger_stops_sending_and_starts_again_when_used(opened: Any, receiver: Any) -> None:
    ledger = opened(Webhook(receiver.url))
    asked(ledger, 1)
    assert ledger.notices.wait(20)
    ledger.close()
    assert [thread for thread in threading.enumerate() if thread.name == "signoff-notices"] == []
    asked(ledger, 2)
    assert ledger.notices.wait(20)
    assert receiver.told == ["pending", "pending"]


def test_a_hook_that_is_set_twice_is_told_once(opened: Any, receiver: Any) -> None:
    ledger = opened(Webhook(receiver.url), Webhook(receiver.url))
    asked(ledger)
    assert ledger.notices.wait(20)
    assert len(receiver.ids) == 1


def test_what_another_programs_hook_is_to_be_told_is_left_to_it(opened: Any, receiver: Any) -> None:
    def refuse(notice: Notice) -> None:
        raise HookFailed("not now")

    other = opened(Own(refuse))
    asked(other)
    other.notices.wait(20)
    ledger = opened(Webhook(receiver.url))
    assert ledger.notices.wait(20)
    assert receiver.ids == []
    assert [notice.hook for notice in ledger.notices.list(status="due")] == ["own"]
