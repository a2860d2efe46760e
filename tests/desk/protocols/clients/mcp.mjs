// Drives teams by the client that MCP ships.
import { answer, load } from "./rpc.mjs";

const { Client } = await load("@modelcontextprotocol/sdk/client/index.js");
const { StreamableHTTPClientTransport } = await load("@modelcontextprotocol/sdk/client/streamableHttp.js");

await answer(async ({ url, token, tool, given }) => {
  const requestInit = { headers: { Authorization: `Bearer ${token}` } };
  const client = new Client({ name: "test", version: "1" });
  await client.connect(new StreamableHTTPClientTransport(new URL(url), { requestInit }));
  try {
    return await client.callTool({ name: tool, arguments: given });
  } catch (error) {
    return { isError: true, content: [{ type: "text", text: String(error.message) }] };
  } finally {
    await client.close();
  }
});
