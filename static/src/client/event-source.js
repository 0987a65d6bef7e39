/**
 * The client under the surface of the DOM's EventSource, for code that expects one. Touches what source.js touches.
 */

import { CLOSED, CONNECTING, OPEN, Source } from './source.js';

/** Of its URL nothing is made but what it says, and `[DONE]` is a message like any other unless `closeOnDone` is given. */
export class EventSource extends Source {
  onopen = null;
  onmessage = null;
  onerror = null;

  constructor(url, options = {}) {
    super({ closeOnDone: false, ...options, url: new URL(url, globalThis.document?.baseURI).href });
    for (const name of ['open', 'message', 'error']) {
      this.addEventListener(name, (event) => {
        const handler = this[`on${name}`];
        if (typeof handler === 'function') handler.call(this, event);
      });
    }
  }
}

for (const [name, value] of Object.entries({ CONNECTING, OPEN, CLOSED })) {
  for (const owner of [EventSource, EventSource.prototype]) Object.defineProperty(owner, name, { value, enumerable: true });
}
