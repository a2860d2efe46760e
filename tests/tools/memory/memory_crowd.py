"""One of several processes that share a memory: keeps some and forgets every other one. Arguments: database, number."""

import sys

from signoff.settings import load_settings
from signoff.tools.action import Act, acting
from signoff.tools.memory import Memory, memory_tools
from signoff.tools.memory.item import Note


def work(database: str, number: int) -> None:
    act = Act(run_id=f"r-{number}", team="t", goal="g", agent="a", approval_id="a-1", approved_by="ann")
    _, remember, forget = memory_tools(Memory.open(load_settings(database=database)), team="t")
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    with acting(act):
        for at in range(6):
            key = f"{number:08x}{at:08x}" + "0" * 48
            done = remember.call(Note(subject=f"s{number}", text=f"text {number} {at}"), key)
            if at % 2:
                forget.call(forget.arguments(memory=done["memory"]), key)


if __name__ == "__main__":
    work(sys.argv[1], int(sys.argv[2]))
