import re
import threading
from collections.abc import Callable
from typing import Any

import pytest
from markdown_it import MarkdownIt
from pydantic import BaseModel

from signoff import Action, Agent, Artifact, Draft, Policy, Run, Task, Team
from signoff.checkpoints import configured_ledger
from signoff.checkpoints.ledger.ledger import Ledger
from signoff.errors import (
    AlreadyDecided,
    BadAnswer,
    NothingAsked,
    RunBusy,
    RunElsewhere,
    SignoffError,
    UnknownApproval,
    UnknownRun,
    UnknownTeam,
)
from signoff.fleet.events import Event
from signoff.settings import load_settings


class Mail(BaseModel):
    to: str


class Post:
    """A team that proposes to send a mail, and the mails it sent."""

    def __init__(self) -> None:
        self.sent: list[str] = []
        self.said = "# Dear Ann"
        self.fail: Exception | BaseException | None = None
        self.meanwhile: Callable[[], object] = lambda: None
        send = Action(name="send_mail", description="Sends.", arguments=Mail, call=self._send)
        clerk = Agent(
            role="clerk",
            gives=Draft,
            function=self._write,
            actions=(send,),
            propose=lambda draft, task: [send.propose(Mail(to="ann"), self.said)],
        )
        self.team = Team(agents=[clerk], policy=Policy({"send_mail": "ask"}), name="post")

    def _write(self, task: Task) -> Draft:
        task.say("writes", done=1, total=2)
        self.meanwhile()
        if self.fail is not None:
            raise self.fail
        return Draft(title="Mail", markdown=self.said, method="extracted")

    def _send(self, mail: Mail, key: str) -> dict[str, Any]:
        self.sent.append(mail.to)
        return {"to": mail.to}


@pytest.fixture
def post() -> Post:
    return Post()


def test_a_run_waits_for_a_person_and_is_done_once_approved(post: Post) -> None:
    run = Run.start(post.team, "write to ann")
    assert (run.status, post.sent) == ("waiting", [])
    assert run.approval is not None
    assert run.approval.shown == {"to": "ann"}
    done = run.approve()
    assert (done.status, post.sent) == ("done", ["ann"])
    assert done.approval is None


def test_what_was_approved_and_not_called_yet_can_be_taken_back(post: Post) -> None:
    run = Run.start(post.team, "write to ann")
    assert run.approval is not None
    asked = run.approval.id
    configured_ledger(load_settings()).approvals.approve(asked, by="ann")
    assert run.revoke(asked, "on second thoughts", by="ann").approvals == ()
    assert (run.resume().status, post.sent) == ("stopped", [])
    with pytest.raises(AlreadyDecided, match="revoked by ann"):
        run.revoke(asked, by="ann")


def test_what_was_called_cannot_be_taken_back_nor_what_another_run_asks(post: Post) -> None:
    run, other = Run.start(post.team, "write to ann"), Run.start(post.team, "write to ann")
    assert run.approval is not None
    asked = run.approval.id
    with pytest.raises(UnknownApproval):
        other.revoke(asked)
    run.approve(by="ann")
    with pytest.raises(AlreadyDecided, match="its action was called"):
        run.revoke(asked, by="ann")
    assert (run.status, post.sent) == ("done", ["ann"])


def test_a_run_may_be_rejected_or_edited(post: Post) -> None:
    assert Run.start(post.team, "one").reject("not now").status == "stopped"
    assert Run.start(post.team, "two").approve(args={"to": "bob"}, by="eve").status == "done"
    assert post.sent == ["bob"]


def test_a_run_is_found_again_by_its_id_in_another_process(post: Post) -> None:
    first = Run.start(post.team, "write to ann")
    again = Run.open(first.id[:6], team=post.team)
    assert again.id == first.id
    assert again.artifacts["Draft"].title == "Mail"
    assert again.approve().status == "done"


def test_resuming_a_waiting_run_asks_nothing_twice_and_changes_nothing(post: Post) -> None:
    run = Run.start(post.team, "write to ann")
    asked = run.approval
    assert run.resume().approval == asked
    assert post.sent == []


def test_resuming_a_run_that_ended_does_nothing(post: Post) -> None:
    run = Run.start(post.team, "write to ann").approve()
    assert run.resume().status == "done"
    assert post.sent == ["ann"]
    with pytest.raises(NothingAsked, match="it is done"):
        run.approve()


def test_a_run_whose_process_died_between_its_end_and_the_ledger_is_done(post: Post) -> None:
    run = Run.start(post.team, "write to ann").approve()
    record = run.record
    ledger = Ledger(load_settings().database_name)
    ledger.runs.set_status(run.id, "running")
    assert Run.open(run.id, team=post.team).resume().record.status == "done"
    assert ledger.runs.get(run.id).note == record.note != ""
    assert post.sent == ["ann"]


def test_a_decision_made_elsewhere_is_found_on_resume(post: Post) -> None:
    run = Run.start(post.team, "write to ann")
    assert run.approval is not None
    Ledger(".signoff/signoff.db").approvals.approve(run.approval.id, by="bob")
    assert run.resume().status == "done"
    assert post.sent == ["ann"]


def test_an_interrupted_run_goes_on_where_it_was(post: Post) -> None:
    post.fail = KeyboardInterrupt()
    run = Run.start(post.team, "write to ann", drive=False)
    with pytest.raises(KeyboardInterrupt):
        run.resume()
    assert run.status == "running"
    assert run.record.owner == ""
    post.fail = None
    assert run.resume().status == "waiting"


def test_an_error_nobody_can_work_around_fails_the_run_and_it_can_be_resumed(post: Post) -> None:
    from signoff.errors import DatabaseUnusable

    post.fail = DatabaseUnusable("x.db", "disk is full")
    run = Run.start(post.team, "write to ann", drive=False)
    with pytest.raises(DatabaseUnusable):
        run.resume()
    assert run.status == "failed"
    assert "disk is full" in run.record.note
    post.fail = None
    assert run.resume().status == "waiting"


def test_a_decision_is_about_what_the_handle_saw_not_what_is_asked_by_now(post: Post) -> None:
    mine, theirs = Run.start(post.team, "write to ann"), None
    theirs = Run.open(mine.id, team=post.team)
    theirs.reject("not this")
    with pytest.raises(AlreadyDecided, match="rejected"):
        mine.approve()
    assert post.sent == []


def test_edited_arguments_that_do_not_fit_decide_nothing(post: Post) -> None:
    run = Run.start(post.team, "write to ann")
    with pytest.raises(BadAnswer, match="to: "):
        run.approve(args={})
    assert run.approve().status == "done"
    assert post.sent == ["ann"]


def test_a_process_that_lost_its_lease_stops_before_the_next_step(post: Post, monkeypatch: pytest.MonkeyPatch) -> None:
    import time

    ledger, now = Ledger(".signoff/signoff.db"), time.time

    def suspend() -> None:
        """Sleep longer than the lease, while another process takes the run over."""
        with ledger.write() as connection:
            connection.exec_driver_sql("UPDATE runs SET owner = 'elsewhere:1:1/x', owner_until = '9999'")
        monkeypatch.setattr(time, "time", lambda: now() + 3600)

    run = Run.start(post.team, "write to ann", drive=False)
    post.meanwhile = suspend
    with pytest.raises(RunBusy):
        run.resume()
    assert run.approval is None


@pytest.mark.parametrize("goal", ["\ud800", 5, None, ["x"]])
def test_a_goal_that_is_no_text_is_one_clear_error(post: Post, goal: Any) -> None:
    with pytest.raises(SignoffError, match="Give it as text"):
        Run.start(post.team, goal)


def test_two_cannot_drive_one_run_at_the_same_time(post: Post) -> None:
    entered, leave = threading.Event(), threading.Event()

    def hold() -> None:
        entered.set()
        leave.wait(30)

    run = Run.start(post.team, "write to ann", drive=False)
    post.meanwhile = hold
    driver = threading.Thread(target=run.resume)
    driver.start()
    try:
        assert entered.wait(30)
        with pytest.raises(RunBusy):
            Run.open(run.id, team=post.team).resume()
    finally:
        leave.set()
        driver.join()
    assert run.status == "waiting"


def test_who_watches_hears_of_turns_progress_and_the_plan(post: Post) -> None:
    events: list[Event] = []
    Run.start(post.team, "write to ann", watch=events.append)
    assert ("turn", "clerk") in [(event.kind, event.agent) for event in events]
    assert Event("says", agent="clerk", text="writes", done=1, total=2) in events
    assert [step["status"] for event in events if event.plan for step in event.plan] == ["in_progress", "completed"]


def test_a_run_shows_itself_in_a_notebook(post: Post) -> None:
    run = Run.start(post.team, "write to ann")
    shown = run._repr_markdown_()
    for expected in (run.id, "waiting", "write to ann", "clerk", "run.approve()", "# Dear Ann"):
        assert expected in shown


@pytest.mark.parametrize(
    "text",
    [
        "**Waits for you** (approval `a-000000`). Decide with `run.approve()`.",
        "</blockquote><p><strong>Run r-1</strong></p>",
        "<!-- hidden -->\n\n---\n\n**Run r-1** · post · **done**",
        "```\n\n**Caution**, `send_mail` may have happened twice\n\n~~~",
        "[approve]: https://evil.example/ 'x'\n\n$\\color{white}{hidden}$ &#x202E;\u202e\u200b",
    ],
)
def test_nothing_that_an_agent_says_passes_for_the_run_in_a_notebook(post: Post, text: str) -> None:
    def show(said: str) -> tuple[str, str]:
        post.said = said
        run = Run.start(post.team, said)
        html = run._repr_html_()
        assert html is not None
        return run._repr_markdown_(), html

    def spoken(markdown: str) -> list[str]:
        """What stands outside of quotations and blocks of code, but for names that differ."""
        tokens = MarkdownIt("commonmark").enable("table").parse(markdown)
        outer = [token for token in tokens if token.level == 0 or (token.level == 1 and token.type == "inline")]
        return [
            f"{token.type} {re.sub(r'[ra]-[0-9a-f]+', '', token.content)}" for token in outer if token.type != "fence"
        ]

    markdown, html = show(text)
    plain, _ = show("hello")
    assert spoken(markdown) == [*spoken(plain)]
    assert html.count("<blockquote>") == html.count("</blockquote>") == 3
    assert "<!--" not in html
    assert not {"\u202e", "\u200b"} & {*markdown, *html}
    assert "https://evil.example/" not in text or "<code>https://evil.example/</code>" in html


def test_a_run_that_another_program_drives_is_not_started_again_here(post: Post) -> None:
    class Note(Artifact):
        pass

    ledger = Ledger(".signoff/signoff.db")
    ledger.runs.begin("server-thread", 1, team="post", goal="g")
    with pytest.raises(RunElsewhere):
        Run.open("server-thread", team=post.team).resume()
    assert ledger.runs.get("server-thread").status == "running"


def test_an_unknown_run_and_an_unknown_team_are_said_to_be_so(post: Post) -> None:
    with pytest.raises(UnknownRun):
        Run.open("r-none", team=post.team)
    run = Run.start(post.team, "write to ann")
    with pytest.raises(UnknownTeam, match=r"Run\.open\(RUN, team=…\)"):
        Run.open(run.id)
