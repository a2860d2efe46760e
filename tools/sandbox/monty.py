"""Monty: a small Python without any system, for computations where no sandbox can run commands."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Final

from signoff.error_base import MissingExtra
from signoff.installation import extra_command
from signoff.tools.sandbox.sandbox import KILLED, MB, Ended, Finished, SandboxLimits, finish

LANGUAGE: Final = (
    "This ran in Monty, a subset of Python without files, network, processes and installed packages; "
    "of the standard library it has parts, such as math, json, re and datetime."
)
GRACE: Final = 2.0
"""Seconds after its limit in which the worker has to have stopped by itself."""
DEEPEST: Final = 500
LIMITS: Final = SandboxLimits()


class Monty:
    """Computes in a worker that knows no system call of the host: no `Backend`, as it runs no commands."""

    name = "monty"

    def problem(self) -> str:
        try:
            import pydantic_monty  # noqa: F401 - whether it can be imported is the question
        except ImportError:
            return f"its package is not installed. Run: {extra_command('sandbox')}"
        return ""

    def compute(self, code: str, inputs: Mapping[str, Any] | None = None, limits: SandboxLimits = LIMITS) -> Finished:
        """Run Python code in which `inputs` are variables; stdout ends with the value of its last expression.

        Of the limits, seconds, memory and output hold; it has no processes and no disk. What went wrong is in stderr.
        """
        try:
            import pydantic_monty as monty
        except ImportError:
            raise MissingExtra("The sandbox monty", "sandbox") from None
        begin = time.monotonic()
        printed = Printed(limits.output_bytes)
        ended: Ended = "exit"
        value, problem = "", ""
        bounds = monty.ResourceLimits(
            max_feed_duration_secs=limits.seconds, max_memory=limits.memory_mb * MB, max_recursion_depth=DEEPEST
        )
        # Waiting is no computing: it would only keep a worker.
        policy = monty.OSPolicy(sleep="zero")
        try:
            with (
                monty.Monty(max_processes=1, request_timeout=limits.seconds + GRACE) as pool,
                pool.checkout(limits=bounds, os_policy=policy) as session,
            ):
                result = session.feed_run(code, inputs=dict(inputs or {}), print_callback=printed.take)
            value = "" if result is None else f"{shown(result)}\n"
        except monty.MontyCrashedError as error:
            ended, problem = ("time" if error.timed_out else "memory"), str(error)
        except (monty.MontySyntaxError, monty.MontyRuntimeError) as error:
            ended, problem = _why(error.exception()), error.display()
        except monty.MontyConversionError as error:
            problem = str(error)
        printed.take("stdout", value)
        printed.take("stderr", problem)
        if printed.is_full:
            ended = "output"
        return finish(
            limits,
            ended=ended,
            exit_code=(1 if problem else 0) if ended == "exit" else KILLED,
            stdout=printed.kept["stdout"].encode(),
            stderr=printed.kept["stderr"].encode(),
            seconds=time.monotonic() - begin,
            notes=[LANGUAGE] if problem else [],
        )


class Printed:
    """What code prints, up to a limit on each stream."""

    def __init__(self, most: int) -> None:
        self._room = {"stdout": most, "stderr": most}
        self.kept = {"stdout": "", "stderr": ""}
        self.is_full = False

    def take(self, stream: str, text: str) -> None:
        """Keep what there is room for. Raising would not stop the code any sooner than its time does."""
        raw = text.encode("utf-8", "replace")
        taken = raw[: self._room[stream]]
        self.is_full |= len(raw) > len(taken)
        self._room[stream] -= len(taken)
        self.kept[stream] += taken.decode("utf-8", "ignore")


def shown(value: object) -> str:
    """A value as text; only data comes out of Monty, and a number may have more digits than Python writes."""
    try:
        return repr(value)
    except ValueError as error:
        return f"<{type(value).__name__}: {error}>"


def _why(error: BaseException) -> Ended:
    """What an exception means that Monty raised at a limit; code may raise the same itself."""
    said = str(error)
    if isinstance(error, TimeoutError) and "time limit exceeded" in said:
        return "time"
    return "memory" if isinstance(error, MemoryError) else "exit"
