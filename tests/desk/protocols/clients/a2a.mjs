// Drives teams by the client that A2A ships: what is asked is the name of one of its methods.
import { answer, load } from "./rpc.mjs";

const { ClientFactory, DefaultAgentCardResolver, JsonRpcTransportFactory } = await load("@a2a-js/sdk/client");
const FEW = { sendMessageStream: true, resubscribeTask: true };

await answer(async ({ url, token, method, params }) => {
  const known = (address, init = {}) => {
    const headers = new Headers(init.headers);
    headers.set("Authorization", `Bearer ${token}`);
    return fetch(address, { ...init, headers });
  };
  const factory = new ClientFactory({
    transports: [new JsonRpcTransportFactory({ fetchImpl: known })],
    cardResolver: new DefaultAgentCardResolver({ fetchImpl: known }),
  });
  const told = { parts: [], error: null };
  try {
    const client = await factory.createFromUrl(`${url}/.well-known/agent-card.json`, "");
    if (FEW[method]) {
      for await (const { payload } of client[method](params)) {
        told.parts.push(payload);
        if ((payload.value.status?.state ?? 0) === 6) break; // INPUT_REQUIRED: whoever waits for people comes back
      }
    } else {
      told.parts.push({ $case: "task", value: await client[method](params) });
    }
  } catch (error) {
    told.error = error.data?.[0]?.metadata?.code ?? String(error.message);
  }
  return told;
});
