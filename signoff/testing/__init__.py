"""Doubles that speak the real protocols, for the tests of signoff and of those who build on it.

Both answer from one script of replies: `ScriptedModel` is a chat model, `ScriptedServer` an OpenAI-compatible
endpoint on loopback.

    model = ScriptedModel(["Paris", calls("search", query="x"), gives(Evidence(question="Where?"))])

    with ScriptedServer({"researcher": [gives(evidence)], "writer": [fails(429, retry_after=0.01), "Done."]}) as server:
        model = ChatOpenAI(model="scripted", base_url=server.url, api_key="test")
"""

from signoff.exports import TYPE_CHECKING, offer

if TYPE_CHECKING:
    from signoff.testing.allowance import Allowance as Allowance
    from signoff.testing.model import ScriptedModel as ScriptedModel
    from signoff.testing.script import Call as Call, Fault as Fault, Item as Item, Pick as Pick, Reply as Reply
    from signoff.testing.script import Script as Script, calls as calls, drops as drops, fails as fails
    from signoff.testing.script import garbles as garbles, gives as gives, hangs as hangs, refuses as refuses
    from signoff.testing.script import says as says
    from signoff.testing.server import Request as Request, ScriptedServer as ScriptedServer
offer(__name__)
