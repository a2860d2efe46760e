// Drives threads of LangGraph Server by the client that it ships for JavaScript.
import { answer, load } from "./rpc.mjs";

const { Client } = await load("@langchain/langgraph-sdk");

await answer(async ({ url, token, thread, create, stream }) => {
  const client = new Client({ apiUrl: url, defaultHeaders: { Authorization: `Bearer ${token}` }, callerOptions: { maxRetries: 0 } });
  const told = { parts: [], state: null, status: 0 };
  try {
    if (create) thread = (await client.threads.create()).thread_id;
    if (stream) {
      for await (const part of client.runs.stream(thread, stream.team, { ...stream.given, streamMode: ["updates"] })) {
        told.parts.push(part);
      }
    }
    told.state = await client.threads.get(thread);
  } catch (error) {
    told.status = error.status ?? Number(/HTTP (\d+)/.exec(String(error.message))?.[1] ?? 500);
    told.error = String(error.message);
  }
  return told;
});
