/** What a page may import of the client. Everything else in this folder may change. */

export { BOUNDS, retryAfter, verdict, wait } from './backoff.js';
export { EventSource } from './event-source.js';
export { createParser } from './parser.js';
export { CLOSED, CONNECTING, OPEN, newEventSource } from './source.js';
