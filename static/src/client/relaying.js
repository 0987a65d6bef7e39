/** How a source's words are taken from it, and its errors made what another page can be sent. Used by shared.js. */

import { Source } from './source.js';

const PLAIN = ['status', 'statusText', 'requestId', 'fatal', 'willRetry', 'retryInMs'];
const picked = (from, names) => Object.fromEntries(names.map((name) => [name, from[name]]));

/** A source that hands its events to `tap` instead of dispatching them. */
export class Tapped extends Source {
  tap = () => {};
  dispatchEvent(event) { this.tap(event); return true; }
}

/** What an `error` event says beside what every event does. */
export function known(event) {
  return picked(event, [...PLAIN, 'headers', 'error']);
}

/** The message for that: headers and errors can't be sent as they are. */
export function relayable({ headers, error, ...plain }) {
  return { kind: 'error', ...picked(plain, PLAIN), headers: headers && [...headers], message: error.message };
}

/** And back. */
export function errorOf({ kind, headers, message, ...plain }) {
  return { ...plain, headers: headers && new Headers(headers), error: new Error(message) };
}
