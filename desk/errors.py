"""Errors of the command line, of the page and of what else is served."""

from __future__ import annotations

from collections.abc import Collection

from signoff.checkpoints.errors import StoreError
from signoff.error_base import SignoffError


class NoDatabase(StoreError):
    """There is no database yet."""

    def __init__(self, database: str, *, named: bool = True, sought: str = "") -> None:
        self.database = database
        above = "" if named else ", nor a .signoff with one in a folder above"
        other = "--database names another" if named else "SIGNOFF_HOME or SIGNOFF_DATABASE names another"
        first = f"No {sought}: there" if sought else "There"
        super().__init__(f"{first} is no database {database!r} yet{above}. The first run makes it; {other}.")


class UnknownThread(StoreError):
    """No such thread in the database."""

    def __init__(self, thread: str) -> None:
        self.thread = thread
        super().__init__(f"No thread {thread!r} in the database. `signoff db stats` shows the largest.")


class PageError(SignoffError):
    """The page cannot give what was asked for; `status` is that of HTTP."""

    status = 400


class NotThere(PageError):
    """There is nothing at this address."""

    status = 404

    def __init__(self, what: str = "page") -> None:
        self.what = what
        super().__init__(f"There is no such {what}. The address may be mistyped, or of another database.")


class RunUnderWay(PageError):
    """A conversation whose run goes on or waits, and that says something new."""

    status = 409

    def __init__(self, run_id: str, state: str) -> None:
        self.run_id, self.state = run_id, state
        way = "Answer what it asks" if state == "waiting" else "Wait until it ends"
        super().__init__(f"Run {run_id!r} of this conversation is {state}. {way}, or cancel it, or begin another one.")


class SignInNeeded(PageError):
    """Nobody knows who asks."""

    status = 401

    def __init__(self) -> None:
        super().__init__("Sign in first: with the link that `signoff serve` printed, or with your token.")


class UnknownKey(PageError):
    """What somebody signs in with is no key of anybody."""

    status = 401

    def __init__(self) -> None:
        super().__init__(
            "Nobody has this token, or its time is over. `signoff people --token NAME` gives another; "
            "the link that `signoff serve` prints is good until that ends."
        )


class SignInRefused(PageError):
    """Who comes from the provider is not let in."""

    status = 403

    def __init__(self, why: str) -> None:
        self.why = why
        super().__init__(f"You are not signed in: {why}. Try once more; if it stays so, tell whoever runs this page.")


class OfAllTenants(PageError):
    """Somebody of some tenants asks for what tells of all."""

    status = 403

    def __init__(self, tenants: Collection[str]) -> None:
        self.tenants = frozenset(tenants)
        super().__init__(f"This screen tells of all tenants, and you see what is of {', '.join(sorted(tenants))}.")


class NotManaging(PageError):
    """Somebody changes what only whoever runs the page may change."""

    status = 403

    def __init__(self, role: str) -> None:
        self.role = role
        super().__init__(
            f"Only those who run this page change that. They can give you the role: signoff people --give NAME={role}"
        )


class ForgedForm(PageError):
    """A form that was not sent by a page of this session."""

    status = 403

    def __init__(self) -> None:
        super().__init__("This form is not of your present session. Open the page again, and decide there.")


class TooFast(PageError):
    """Somebody tries to sign in too often."""

    status = 429

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        super().__init__(f"Too many tries to sign in. Wait {max(1, round(seconds))} seconds, and try again.")
