// Reads streams with npm's eventsource-parser, as its authors show it. Standard input: a line for each stream,
// a JSON array of pieces in base64. Standard output: a line for each, a JSON array of [data, id, event].
import { createInterface } from "node:readline";

import { createParser } from "eventsource-parser";

function read(pieces) {
  const events = [];
  const parser = createParser({
    onEvent: ({ data, id, event }) => events.push([data, id ?? null, event ?? null]),
    onError: (error) => { throw error; }, // an unknown field, a `retry:` that is no number
  });
  const decoder = new TextDecoder();
  for (const piece of pieces) parser.feed(decoder.decode(Buffer.from(piece, "base64"), { stream: true }));
  return events;
}

for await (const line of createInterface({ input: process.stdin })) {
  process.stdout.write(`${JSON.stringify(read(JSON.parse(line)))}\n`);
}
