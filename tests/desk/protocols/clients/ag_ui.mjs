// Drives teams by the client that AG-UI ships.
import { answer, load } from "./rpc.mjs";

const { HttpAgent } = await load("@ag-ui/client");
const agents = new Map();

await answer(async ({ url, token, thread, say, resume, props }) => {
  const key = `${url} ${token} ${thread}`;
  const fresh = () => new HttpAgent({ url, threadId: thread, headers: { Authorization: `Bearer ${token}` } });
  const told = { events: [], error: null };
  // The client itself refuses what does not answer its open interrupts: then one that does not know of them asks.
  for (const agent of [agents.get(key) ?? fresh(), fresh()]) {
    if (say) agent.messages.push({ id: say.id, role: "user", content: say.text });
    try {
      await agent.runAgent({ resume, forwardedProps: props ?? {} }, {
        onEvent: ({ event }) => { told.events.push(event); },
      });
    } catch (error) {
      told.error = String(error?.message ?? error);
    }
    if (told.events.length > 0) {
      agents.set(key, agent);
      break;
    }
  }
  return told;
});
