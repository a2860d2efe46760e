"""Doubles that speak the real protocols, for the tests of signoff and of those who build on it.

Both answer from one script of replies: `ScriptedModel` is a chat model, `ScriptedServer` an OpenAI-compatible
endpoint on loopback.

    model = ScriptedModel(["Paris", calls("search", query="x"), gives(Evidence(question="Where?"))])

    with ScriptedServer({"researcher": [gives(evidence)], "writer": [fails(429, retry_after=0.01), "Done."]}) as server:
        model = ChatOpenAI(model="scripted", base_url=server.url, api_key="test")
"""

from signoff.testing.allowance import Allowance
from signoff.testing.model import ScriptedModel
from signoff.testing.script import (
    Call,
    Fault,
    Item,
    Pick,
    Reply,
    Script,
    calls,
    drops,
    fails,
    garbles,
    gives,
    hangs,
    refuses,
    says,
)
from signoff.testing.server import Request, ScriptedServer

__all__ = [
    "Allowance",
    "Call",
    "Fault",
    "Item",
    "Pick",
    "Reply",
    "Request",
    "Script",
    "ScriptedModel",
    "ScriptedServer",
    "calls",
    "drops",
    "fails",
    "garbles",
    "gives",
    "hangs",
    "refuses",
    "says",
]
