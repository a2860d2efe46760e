"""Runs in a process of its own: many writer processes on one new file, while another holds the write lock for long.

Arguments: the file, how many writers, seconds of the lock. Each writer makes a superstep after the other on a thread of
its own, until the lock is free again and five more. Prints a JSON line of each: steps, longest call, what went wrong.
"""

from __future__ import annotations

import json
import os
import sqlite3
import sys
import time
import traceback
from pathlib import Path
from typing import Any

from langchain_core.messages import HumanMessage
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import empty_checkpoint
from langgraph.checkpoint.base.id import uuid6

from signoff.checkpoints.saver.saver import SqliteCheckpointer

path, writers, seconds = Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
STEPS_AFTER = 5
LONGEST_START = 60.0


def write(number: int, lock_is_free: int) -> dict[str, Any]:
    """Make supersteps; `lock_is_free` is a pipe that ends when the holder does."""
    os.set_blocking(lock_is_free, False)
    config: RunnableConfig = {"configurable": {"thread_id": f"writer-{number}", "checkpoint_ns": ""}}
    messages: list[HumanMessage] = []
    longest, left = 0.0, STEPS_AFTER
    with SqliteCheckpointer(path) as saver:
        while left:
            left -= is_over(lock_is_free)
            message = HumanMessage(f"{number}-{len(messages)}", id=str(len(messages)))
            messages = [*messages, message]
            checkpoint = empty_checkpoint()
            checkpoint["id"] = str(uuid6(clock_seq=len(messages)))
            checkpoint["channel_values"] = {"messages": messages}
            began = time.monotonic()
            if len(messages) > 1:
                saver.put_writes(config, [("messages", message)], f"task-{len(messages)}")
            config = saver.put(config, checkpoint, {"source": "loop", "step": len(messages)}, {})
            longest = max(longest, time.monotonic() - began)
    return {"steps": len(messages), "longest": longest}


def is_over(pipe: int) -> bool:
    try:
        return os.read(pipe, 1) == b""
    except BlockingIOError:
        return False


def hold() -> dict[str, Any]:
    """Take the write lock once all are writing, and keep it."""
    deadline = time.monotonic() + LONGEST_START
    while writing() < writers and time.monotonic() < deadline:
        time.sleep(0.01)
    connection = sqlite3.connect(path, timeout=60, isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    time.sleep(seconds)
    connection.execute("ROLLBACK")
    connection.close()
    return {"held": seconds}


def writing() -> int:
    """How many have made their first superstep."""
    if not path.exists():
        return 0
    connection = sqlite3.connect(path)
    try:
        if connection.execute("SELECT count(*) FROM sqlite_master WHERE name = 'saver_threads'").fetchone() == (0,):
            return 0
        return int(connection.execute("SELECT count(*) FROM saver_threads").fetchone()[0])
    finally:
        connection.close()


def fork(work: Any, *arguments: Any) -> tuple[int, int]:
    """Do this in a process of its own, which tells its answer through the pipe that is returned, with its pid."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid:
        os.close(writing)
        return pid, reading
    try:
        answer = work(*arguments)
    except BaseException:
        answer = {"error": traceback.format_exc()}
    os.write(writing, json.dumps(answer).encode())
    os._exit(0)


free, held = os.pipe()
_, answer_of_holder = fork(hold)
os.close(held)  # the holder's copy is the last, and ends with it
answers = [answer_of_holder, *(fork(write, number, free)[1] for number in range(writers))]
for answer in answers:
    with os.fdopen(answer) as file:
        sys.stdout.write(file.read() + "\n")
