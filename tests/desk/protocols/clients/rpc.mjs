// Each line of input is a request, each of output what came of it.
import { createInterface } from "node:readline";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const require = createRequire(`${process.argv[2]}/`);

export const load = (name) => import(pathToFileURL(require.resolve(name)));

export const answer = async (work) => {
  for await (const line of createInterface({ input: process.stdin })) {
    process.stdout.write(JSON.stringify(await work(JSON.parse(line))) + "\n");
  }
};
