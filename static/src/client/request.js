/**
 * What source.js says to a server, and how it is meant: its address, its body, its cursor as a header; and whether the
 * server said goodbye. Pure, but for the page's own address.
 */

/** The address of a client's stream, by default `sse/createConnect` beside the page. */
export function address({ url = 'sse/createConnect', clientId, lastEventId, closeOnDone = true }) {
  const full = new URL(url, globalThis.document?.baseURI);
  if (clientId) full.searchParams.set('clientId', clientId);
  if (!closeOnDone) full.searchParams.set('closeOnDone', 'false');
  if (lastEventId) full.searchParams.set('lastEventId', lastEventId);
  return full.href;
}

/** [spec] The id is sent as UTF-8; a header of fetch takes bytes, one character each. */
export function asHeader(id) {
  return String.fromCharCode(...new TextEncoder().encode(id));
}

/** A plain object or a list goes out as JSON, and `headers` say so unless they say otherwise; the rest is fetch's. */
export function bodyOf(body, headers) {
  if (body === undefined || body === null) return {};
  const isPlain = [Object.prototype, Array.prototype, null].includes(Object.getPrototypeOf(Object(body)));
  if (!isPlain) return { body };
  if (!headers.has('content-type')) headers.set('Content-Type', 'application/json');
  return { body: JSON.stringify(body) };
}

/** The promise's outcome, or the signal's reason if that comes first: not all that is waited for listens to it. */
export function orAborted(promise, signal) {
  const aborted = new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
  return Promise.race([promise, aborted]);
}

/** Whether the server ended this stream for good: `closing` with `reconnect: false`. */
export function saysGoodbye(data) {
  if (!data.includes('"closing"')) return false; // most events: no second parse
  try {
    const event = JSON.parse(data);
    return event?.type === 'closing' && event.reconnect === false;
  } catch {
    return false;
  }
}
