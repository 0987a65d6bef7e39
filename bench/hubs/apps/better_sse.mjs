// better-sse as its documentation shows it: a session for each stream, one channel for all.
import { createChannel, createSession } from "better-sse";
import { serve } from "./serving.mjs";

const channel = createChannel();

serve({
  async subscribe(request, response) {
    const session = await createSession(request, response);
    channel.register(session);
  },
  publish: (text) => channel.broadcast(text),
  streams: () => [...channel.activeSessions].map((session) => (text) => session.push({ content: text })),
});
