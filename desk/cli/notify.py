"""The command that sends notices: for cron, for a watcher, and to see what became of them."""

from __future__ import annotations

import json as json_text
import sys
import threading
from contextlib import closing
from dataclasses import asdict
from typing import Annotated, Any

import typer
from rich.console import Console

from signoff.checkpoints import configured_ledger
from signoff.checkpoints.errors import DatabaseUnusable
from signoff.checkpoints.ledger import Ledger
from signoff.checkpoints.ledger.notifications import Notice
from signoff.desk.cli.lists import existing_ledger, is_begun
from signoff.desk.cli.terminal import MANY, Json, command, moment, print_json, row, say, table
from signoff.desk.errors import NoDatabase
from signoff.settings import Settings, load_settings


def notify(
    watch: Annotated[bool, typer.Option("--watch", help="Go on until Ctrl-C.")] = False,
    every: Annotated[float, typer.Option(min=0.1, metavar="SECONDS", help="How often, with --watch.")] = 5.0,
    newest: Annotated[bool, typer.Option("--list", help="List the newest notices and send nothing.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=MANY, help="How many, with --list.")] = 20,
    retry: Annotated[str | None, typer.Option(metavar="NOTICE", help="Send this one again, sent or given up.")] = None,
    json: Json = False,
) -> int:
    settings, tried = load_settings(), list[Notice]()
    sought = "" if retry is None else f"notice {retry!r}"
    try:
        opened = configured_ledger(settings) if watch else existing_ledger(settings, sought)
    except NoDatabase as error:
        if retry is not None:
            raise
        if json:
            print_json([] if newest else {"closed": 0, "notices": [], "due": 0})
        else:
            say(Console(), f"{'No notices yet' if newest else 'Nothing to send'}. {error}")
        return 0
    with closing(opened) as ledger:
        if newest:
            return list_notices(ledger, limit, json=json)
        ledger.notices.after_try = tried.append
        if retry is not None:
            return retry_notice(ledger, retry, tried, json=json)
        if watch:
            return watch_notices(ledger, settings, tried, every=every, json=json)
        return send_notices(ledger, tried, json=json)


def send_notices(ledger: Ledger, tried: list[Notice], *, json: bool) -> int:
    """Close what has expired and send what is due, once; exit code 1 if something was not taken."""
    closed = ledger.approvals.sweep()
    ledger.alerts.look()
    ledger.notices.wait()
    found, left = tried[:], ledger.notices.due()
    if json:
        print_json({"closed": closed, "notices": [_as_json(notice) for notice in found], "due": left})
        return _code(found)
    console = Console()
    if closed:
        say(console, f"Expired or escalated: {closed:,}.")
    if not ledger.notices.hooks:
        say(console, "Nobody is told: set SIGNOFF_WEBHOOKS or SIGNOFF_HOOK_COMMAND.")
        return 0
    if found:
        _print(console, found)
    else:
        say(console, f"Nothing to send now, {left:,} wait for another try." if left else "Nothing to send.")
    return _code(found)


def watch_notices(ledger: Ledger, settings: Settings, tried: list[Notice], *, every: float, json: bool) -> int:
    """Do the same every few seconds until Ctrl-C; a line is printed for each try."""
    console, errors = Console(), Console(stderr=True)
    say(errors, f"Sending to {len(ledger.notices.hooks):,} hooks as notices fall due. Ctrl-C ends this.")
    try:
        while True:
            try:
                if is_begun(settings):  # else the first run makes the database
                    ledger.approvals.sweep()
                    ledger.alerts.look()
                    ledger.notices.wait()
            except DatabaseUnusable as error:
                say(errors, str(error))
            while tried:
                notice = tried.pop(0)
                if json:
                    sys.stdout.write(json_text.dumps(_as_json(notice)) + "\n")
                    sys.stdout.flush()
                else:
                    say(console, f"{notice.id}  {notice.event}  {notice.run_id}  {notice.hook}: {_standing(notice)}")
            threading.Event().wait(every)
    except KeyboardInterrupt:
        return 0


def list_notices(ledger: Ledger, limit: int, *, json: bool) -> int:
    found = ledger.notices.list(limit=limit)
    if json:
        print_json([_as_json(notice) for notice in found])
    elif found:
        _print(Console(), found)
    else:
        say(Console(), "No notices yet.")
    return 0


def retry_notice(ledger: Ledger, notice_id: str, tried: list[Notice], *, json: bool) -> int:
    """Send one notice again now; exit code 1 if it was not taken."""
    chosen = ledger.notices.retry(notice_id)
    ledger.notices.wait()
    found = [notice for notice in tried if notice.id == chosen.id][-1:]
    if json:
        print_json(_as_json((found or [chosen])[0]))
    elif found:
        _print(Console(), found)
    else:
        say(Console(), f"{chosen.id} is due. Its hook {chosen.hook!r} is not set here, or another process sends it.")
    return _code(found) if found else 1


def _code(found: list[Notice]) -> int:
    return 0 if all(notice.status == "sent" for notice in found) else 1


def _print(console: Console, found: list[Notice]) -> None:
    listing = table("notice", "event", "run", "hook", "how it stands")
    for notice in found:
        row(listing, notice.id, notice.event, notice.run_id, notice.hook, _standing(notice))
    console.print(listing)
    if any(notice.status == "given_up" for notice in found):
        say(console, f"Once it is mended: {command()} notify --retry NOTICE")


def _standing(notice: Notice) -> str:
    if notice.status == "sent":
        return "sent" if notice.tries == 1 else f"sent at try {notice.tries}"
    if notice.status == "given_up":
        return f"given up after try {notice.tries}: {notice.error}"
    if not notice.error:
        return "due"
    return f"try {notice.tries} failed, next {moment(notice.next_at)}: {notice.error}"


def _as_json(notice: Notice) -> dict[str, Any]:
    return {**asdict(notice), "body": json_text.loads(notice.body)}
