"""What a process leaves open when it ends after calls of a model: nothing."""

import os
import subprocess
import sys
import textwrap

import pytest

from signoff.testing import ScriptedServer

PROGRAM = """
    import asyncio, os, sys
    from signoff.agents.models.openai.chat_model import Endpoint
    model = Endpoint(model="m", base_url=sys.argv[1], api_key="k", max_retries=0)

    def ask():
        assert model.invoke("Hi").content == "Paris"

    async def aask():
        assert (await model.ainvoke("Hi")).content == "Paris"
"""

ENDS = {
    "one loop after the other": "asyncio.run(aask()); asyncio.run(aask())",
    "a sync call": "ask()",
    "a stream that is left": "next(iter(model.stream('Hi')))",
    "a loop that is never closed": "never = asyncio.new_event_loop(); never.run_until_complete(aask())",
    "a fork": """
ask()
child = os.fork()
ask()
if child:
    assert os.waitpid(child, 0)[1] == 0
""",
}


@pytest.mark.parametrize("ending", ENDS.values(), ids=ENDS.keys())
def test_nothing_is_left_open_when_a_process_ends(ending: str) -> None:
    if "fork" in ending and not hasattr(os, "fork"):
        pytest.skip("no fork here")
    # Python itself warns of a loop that is not closed, and in a fork of what only its parent may close.
    strictly = [] if "never" in ending or "fork" in ending else ["-W", "error::ResourceWarning"]
    environment = os.environ | {"PYTHONSAFEPATH": "1", "NO_COLOR": "1"}
    with ScriptedServer(["Paris"] * 4) as server:
        done = subprocess.run(
            [sys.executable, *strictly, "-c", textwrap.dedent(PROGRAM) + ending, server.url],
            capture_output=True,
            text=True,
            env=environment,
            timeout=60,
        )
    assert (done.returncode, done.stderr) == (0, "")
