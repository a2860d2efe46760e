// Bundles the page of agent-chat-ui, all of it but what Next.js adds around it, into the folder that is named.
import { writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { load } from "./rpc.mjs";

const [, , modules, folder] = process.argv;
const esbuild = await load("esbuild");
const chat = `${modules}/../clients/agent-chat-ui`;
const require = createRequire(`${chat}/`);

const ENTRY = `
  import { createElement } from "react";
  import { createRoot } from "react-dom/client";
  import { NuqsAdapter } from "nuqs/adapters/react";
  import Page from "./src/app/page";
  createRoot(document.getElementById("chat")).render(createElement(NuqsAdapter, null, createElement(Page)));
`;

const images = { name: "images", setup(build) { // of next/image, which is a server's
  build.onResolve({ filter: /^next\/image$/ }, ({ path }) => ({ path, namespace: "image" }));
  build.onLoad({ filter: /.*/, namespace: "image" }, () => ({ contents: "module.exports = 'img'", loader: "js" }));
} };

await esbuild.build({
  stdin: { contents: ENTRY, resolveDir: chat, loader: "jsx" },
  bundle: true, format: "esm", jsx: "automatic", outfile: `${folder}/chat.js`, plugins: [images],
  define: { "process.env.NODE_ENV": '"production"', "process.env": "{}" },
  loader: { ".woff": "empty", ".woff2": "empty", ".ttf": "empty" }, logLevel: "error",
});
writeFileSync(`${folder}/index.html`, '<!doctype html><link rel="stylesheet" href="chat.css"><div id="chat"></div><script type="module" src="chat.js"></script>');
