"""The saver for LangGraph Server: `{"path": "signoff.checkpoints.saver.langgraph_server.checkpointer"}`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from langgraph.checkpoint.base import BaseCheckpointSaver

from signoff.checkpoints.opening import Opening, configured_saver
from signoff.settings import load_settings


@asynccontextmanager
async def checkpointer() -> AsyncIterator[BaseCheckpointSaver[Any]]:
    """The saver that the settings name; the server opens one for each of its event loops, and closes it.

    The server must not be kept waiting, so the settings are read in a thread.
    """
    async with await asyncio.to_thread(_opening) as saver:
        yield saver


def _opening() -> Opening:
    return configured_saver(load_settings())
