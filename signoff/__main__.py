"""The `signoff` command, and `python -m signoff`."""

from __future__ import annotations

import os
import signal
import sys
from typing import NoReturn


def main() -> None:
    """Run the command. Ctrl-C while it is still being imported, and nothing has begun, is one line too."""
    was = signal.getsignal(signal.SIGINT)
    if was is signal.default_int_handler:  # else nobody is to be interrupted
        signal.signal(signal.SIGINT, _leave)
    from signoff.desk.cli import main as run_command

    signal.signal(signal.SIGINT, was)
    run_command()


def _leave(_number: int, _frame: object) -> NoReturn:
    """An exception would be raised amid an import, where others make something else of it."""
    if sys.stderr is not None:
        os.write(2, b"\nStopped by you.\n")
    os._exit(128 + signal.SIGINT)


if __name__ == "__main__":
    main()
