// What inboxes of others make of a thread that waits, and what they send: by their own code, whatever it imports left empty.
import { answer, load } from "./rpc.mjs";

const esbuild = await load("esbuild");
const SOURCES = `${process.argv[2]}/../clients`;

const EMPTY = `
  const nothing = () => null, drawn = (type, props) => ({ type, props });
  module.exports = { useState: (first) => [first, nothing], jsx: drawn, jsxs: drawn, cn: nothing };
`;

const strange = { name: "strange", setup(build) {
  build.onResolve({ filter: /^[^.]/ }, ({ path, kind }) => kind === "entry-point" ? null : { path, namespace: "empty" });
  build.onLoad({ filter: /.*/, namespace: "empty" }, () => ({ contents: EMPTY, loader: "js" }));
} };

const code = async (file) => {
  const { outputFiles } = await esbuild.build({
    entryPoints: [`${SOURCES}/${file}`], bundle: true, write: false, format: "esm", jsx: "automatic", plugins: [strange],
  });
  return import(`data:text/javascript;base64,${Buffer.from(outputFiles[0].contents).toString("base64")}`);
};

const inbox = async (thread, choice, edits) => {
  const { processInterruptedThread } = await code("agent-inbox/src/components/agent-inbox/contexts/utils.ts");
  const { createDefaultHumanResponse } = await code("agent-inbox/src/components/agent-inbox/utils.ts");
  const { interrupts, invalidSchema } = processInterruptedThread(thread);
  const { responses } = createDefaultHumanResponse(interrupts, { current: {} });
  const type = { approve: "accept", reject: "response", edit: "edit" }[choice];
  const { args, config } = { args: interrupts[0].action_request.args, config: interrupts[0].config };
  const found = responses.find((one) => one.type === type);
  const sent = { approve: null, reject: "not so", edit: { ...interrupts[0].action_request, args: { ...args, ...edits } } };
  return { shown: args, invalid: invalidSchema, config, resume: found && [{ type, args: sent[choice] }] };
};

const chat = async (thread, choice, edits) => {
  const { isAgentInboxInterruptSchema } = await code("agent-chat-ui/src/lib/agent-inbox-interrupt.ts");
  const { createDefaultHumanResponse, buildDecisionFromState } =
    await code("agent-chat-ui/src/components/thread/agent-inbox/utils.ts");
  const [interrupt] = Object.values(thread.interrupts)[0];
  const invalid = !isAgentInboxInterruptSchema(interrupt);
  const { responses } = createDefaultHumanResponse(interrupt.value, { current: {} });
  const shown = interrupt.value.action_requests[0].args;
  for (const one of responses) {
    if (one.type === "reject") one.message = "not so";
    if (one.type === "edit" && choice === "edit") {
      one.editsMade = true;
      one.edited_action.args = { ...one.edited_action.args, ...edits };
    }
  }
  const { decision } = buildDecisionFromState(responses, choice);
  return { shown, invalid, resume: decision && { decisions: [decision] } };
};

const deep = async (thread, choice) => {
  const { ToolApprovalInterrupt } = await code("deep-agents-ui/src/app/components/ToolApprovalInterrupt.tsx");
  const [{ value }] = Object.values(thread.interrupts)[0];
  const call = thread.values.messages.at(-1).tool_calls.at(-1);
  const actionRequest = value.action_requests.find(({ name }) => name === call.name);
  const reviewConfig = new Map(value.review_configs.map((one) => [one.actionName, one])).get(call.name);
  let resume = null;
  const drawn = ToolApprovalInterrupt({ actionRequest, reviewConfig, onResume: (given) => { resume = given; } });
  const texts = (node) => Array.isArray(node) ? node.flatMap(texts)
    : typeof node === "string" ? [node] : node?.props ? texts(node.props.children) : [];
  const buttons = (node) => Array.isArray(node) ? node.flatMap(buttons)
    : node?.props?.onClick ? [node] : node?.props ? buttons(node.props.children) : [];
  const found = buttons(drawn);
  const offered = found.map((node) => texts(node.props.children).join(""));
  found[offered.findIndex((text) => text.toLowerCase() === choice)]?.props.onClick();
  return { shown: actionRequest.args, invalid: !actionRequest, offered, resume };
};

const KINDS = { "agent-inbox": inbox, "agent-chat-ui": chat, "deep-agents-ui": deep };
await answer(({ client, thread, choice, edits }) => KINDS[client](thread, choice, edits ?? {}));
