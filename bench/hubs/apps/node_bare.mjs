// Node alone: response.write of one ready Buffer for each stream.
import { serve } from "./serving.mjs";

const HEAD = { "Content-Type": "text/event-stream", "Cache-Control": "no-cache" };
const all = new Set();

serve({
  subscribe(request, response) {
    response.writeHead(200, HEAD);
    response.write(": ok\n\n");
    all.add(response);
    response.on("close", () => all.delete(response));
  },
  publish(text) {
    const frame = Buffer.from(`data: ${text}\n\n`);
    for (const response of all) response.write(frame);
  },
  streams: () => [...all].map((response) => (text) => response.write(`data: {"content":"${text}"}\n\n`)),
});
