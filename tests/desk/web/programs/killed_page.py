"""`signoff serve` in a process that is killed at a moment of a decision: before, after, or as the run goes on."""

import os
import signal
import sys
from typing import Any

from signoff.desk.cli.app import main
from signoff.desk.driving import Background
from signoff.desk.web.screens import approval_pages

MOMENT = os.environ["KILLED_AT"]


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def deciding(*given: Any) -> Any:
    """Decide, and be killed before or after it is written."""
    if MOMENT == "before it is written":
        die()
    decided = record_verdict(*given)
    if MOMENT == "after it is written":
        die()
    return decided


def driving(self: Background, *given: Any) -> None:
    """Go on with the run, and be killed as it does."""
    drive(self, *given)
    if MOMENT == "as the run goes on":
        die()


PAGES: Any = approval_pages
BACKGROUND: Any = Background
record_verdict, drive = PAGES.record_verdict, BACKGROUND.drive
PAGES.record_verdict = deciding
BACKGROUND.drive = driving
sys.argv = ["signoff", "serve", "--port", "0"]
main()
