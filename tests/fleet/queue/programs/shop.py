"""A team whose orders say what its clerk does: a bill is sent for each, once somebody or nobody has to say yes."""

import os
import signal
import time
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from signoff import Action, Agent, Draft, Policy, Task, Team

HERE = Path(__file__).parent


class Order(BaseModel):
    """An order."""

    item: str
    mode: str = ""


class Bill(BaseModel):
    to: str


def write_down(name: str, text: str) -> None:
    with open(HERE / name, "a", encoding="utf-8") as file:
        file.write(f"{text}\n")


def call(bill: Bill, key: str) -> dict[str, Any]:
    write_down("sent.txt", bill.to)
    return {}


def work(task: Task) -> Draft:
    order = task.input
    assert isinstance(order, Order)
    write_down("begun.txt", order.item)
    if order.mode == "die" or (order.mode == "die once" and not (HERE / "died").exists()):
        (HERE / "died").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    while order.mode in ("rest", "mumble") and not (HERE / "rested").exists():
        time.sleep(0.02)
        if order.mode == "mumble":
            task.say("the same again")
    return Draft(title=order.item, markdown=f"# {order.item}", method="extracted")


SEND = Action(name="send_bill", description="Sends a bill.", arguments=Bill, call=call)


def propose(_draft: Draft, task: Task) -> list[Any]:
    assert isinstance(task.input, Order)
    return [SEND.propose(Bill(to=task.input.item), "It is due.")]


async def work_in_loop(task: Task) -> Draft:
    return work(task)  # it never awaits anything


def made(rule: Any, function: Any = work) -> Team:
    clerk = Agent(role="clerk", gives=Draft, function=function, actions=(SEND,), propose=propose)
    return Team(agents=[clerk], policy=Policy({"send_bill": rule}), name="shop", input=Order)


def auto() -> Team:
    return made("allow")


def asked() -> Team:
    return made("ask")


def awaited() -> Team:
    return made("allow", work_in_loop)
