// The routes that the servers in JavaScript have in common: GET /sub, POST /pub, POST /produce. On $PORT.
import http from "node:http";
import { play } from "./pacing.mjs";

async function whole(request) {
  const pieces = [];
  for await (const piece of request) pieces.push(piece);
  return Buffer.concat(pieces).toString();
}

// subscribe(request, response); publish(text); streams(): functions that say a text to one stream each.
export function serve({ subscribe, publish, streams }) {
  const server = http.createServer({ keepAliveTimeout: 60_000 }, async (request, response) => {
    const url = new URL(request.url, "http://127.0.0.1");
    if (url.pathname === "/sub") return subscribe(request, response);
    if (url.pathname === "/pub") {
      publish(await whole(request));
    } else if (url.pathname === "/produce") {
      const seconds = Number(url.searchParams.get("seconds"));
      const start = process.hrtime.bigint();
      streams().forEach((say, number) => play(number, seconds, start, say));
    }
    response.writeHead(204).end();
  });
  server.listen({ port: Number(process.env.PORT), host: "127.0.0.1", backlog: 4096 });
}
