// Drives teams by the client that AG-UI ships. Each line of input is a request, each of output what came of it.
import { createInterface } from "node:readline";
import { createRequire } from "node:module";

const require = createRequire(`${process.argv[2]}/`);
const { HttpAgent } = require("@ag-ui/client");
const agents = new Map();

for await (const line of createInterface({ input: process.stdin })) {
  const { url, token, thread, say, resume, props } = JSON.parse(line);
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
  process.stdout.write(JSON.stringify(told) + "\n");
}
