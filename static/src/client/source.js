/**
 * One event stream kept alive over fetch: an EventSource that can send headers, tells the status and notices silence.
 * Touches the network, the clock and the page's visibility, all of which can be handed in. What is not a GET it sends
 * once and never again.
 *
 *     const source = newEventSource({ clientId, headers, onMessage, onError, onOpen });
 *     source.close();
 */

import { BOUNDS, retryAfter, verdict, wait } from './backoff.js';
import { createParser } from './parser.js';
import { address, asHeader, bodyOf, orAborted, saysGoodbye } from './request.js';
import { isHidden, onWake } from './waking.js';

export const CONNECTING = 0;
export const OPEN = 1;
export const CLOSED = 2;

/** Bytes that arrived while the page slept get this long to be read before the stream is taken for dead. */
const WAKE_GRACE = 2_000;
const SILENCE = 'no byte for too long';
const UNKNOWN = { status: 0, statusText: '', headers: null, requestId: '' };

/** Opens a stream and returns its `Source`. The options are in index.d.ts, and in docs/client.md with their reasons. */
export function newEventSource(options = {}) {
  return new Source({ ...options, url: address(options) });
}

/** Makes the callbacks of the options listeners, so that one that throws is reported and breaks nothing. */
export function listen(source, { onMessage, onError, onOpen, onStatus }) {
  if (onMessage) source.addEventListener('message', onMessage);
  if (onError) source.addEventListener('error', onError);
  if (onOpen) source.addEventListener('open', onOpen);
  if (onStatus) source.addEventListener('status', (event) => onStatus(event.detail));
}

/** What `newEventSource` returns. Also dispatches `open`, `error`, `message` and named events to listeners. */
export class Source extends EventTarget {
  #options;
  #state = CONNECTING;
  #lastEventId;
  #token;
  #asked = null; // what `retry:` said
  #failures = 0; // attempts in a row that brought no event
  #attempt = null; // the AbortController of the request that runs
  #timer = 0; // of the next attempt, or of the watchdog: never both at once
  #dueAt = 0; // when that is
  #sleep = onWake(() => this.reconnect());

  constructor(options) {
    super();
    const { signal } = options;
    this.#options = {
      heartbeatTimeout: 60_000, closeOnDone: true, method: 'GET', maxRetries: Infinity, ...options,
      retry: { ...BOUNDS, ...options.retry },
      fetch: options.fetch ?? ((...request) => globalThis.fetch(...request)),
    };
    this.#lastEventId = options.lastEventId ?? '';
    listen(this, options);
    signal?.addEventListener('abort', () => this.close(), { once: true });
    if (signal?.aborted) this.close();
    // A turn later, so that the one who opened it can add listeners first.
    else queueMicrotask(() => { if (!this.#attempt) this.#connect(); });
  }

  get readyState() { return this.#state; }
  get url() { return this.#options.url; }
  get withCredentials() { return Boolean(this.#options.withCredentials); }
  get lastEventId() { return this.#lastEventId; }

  /** Ends the stream for good; safe to call again. */
  close(reason = 'asked') {
    if (this.#state === CLOSED) return;
    this.#end();
    this.#say('closed', { reason });
  }

  /** Does not wait for the next attempt but makes it now; a link that stands is looked at for its silence. */
  reconnect() {
    if (this.#state === CLOSED) return;
    if (!this.#attempt) this.#connect();
    else if (this.#options.heartbeatTimeout) {
      // The clock may have been set meanwhile.
      const left = Math.min(this.#dueAt - Date.now(), this.#options.heartbeatTimeout);
      this.#watch(Math.max(left, WAKE_GRACE));
    }
  }

  /** Does what is overdue, hidden or not: another page that is looked at depends on this one's stream. */
  check() {
    if (this.#state === CLOSED || Date.now() < this.#dueAt + WAKE_GRACE) return;
    if (this.#attempt) this.#attempt.abort(new Error(SILENCE));
    else this.#connect();
  }

  #end() {
    this.#state = CLOSED;
    clearTimeout(this.#timer);
    this.#attempt?.abort();
    this.#attempt = null; // what is still in the pipe is delivered to nobody
    this.#sleep();
  }

  async #connect() {
    if (this.#state === CLOSED) return;
    const attempt = (this.#attempt = new AbortController());
    const known = { ...UNKNOWN };
    this.#state = CONNECTING;
    this.#heard();
    this.#say('connecting');
    if (this.#attempt !== attempt) return; // closed by a listener
    try {
      const response = await orAborted(this.#ask(attempt.signal), attempt.signal);
      const { status, statusText, headers } = response;
      Object.assign(known, { status, statusText, headers, requestId: headers.get('x-request-id') ?? '' });
      if (this.#admit(response, known)) await this.#read(response.body, attempt);
      if (this.#attempt === attempt && !this.#isRepeatable) return this.close('ended');
      throw new Error('the stream ended');
    } catch (error) {
      // Whatever breaks a link is called differently by each browser: it is a lost link all the same.
      if (this.#attempt === attempt) this.#lost(known, error);
    }
  }

  get #isRepeatable() { return this.#options.method.toUpperCase() === 'GET'; }

  /** The response; a token that is refused is asked for once more, except for what must not be sent twice. */
  async #ask(signal) {
    const { fetch, url, getToken } = this.#options;
    const response = await fetch(url, await this.#request(signal, false));
    if (response.status !== 401 || !getToken || !this.#isRepeatable) return response;
    response.body?.cancel().catch(() => {});
    return fetch(url, await this.#request(signal, true));
  }

  async #request(signal, refused) {
    const { headers: given, getToken, method, body, withCredentials } = this.#options;
    const headers = new Headers(await (typeof given === 'function' ? given() : given));
    headers.set('Accept', 'text/event-stream');
    if (this.#lastEventId) headers.set('Last-Event-ID', asHeader(this.#lastEventId));
    if (getToken && (refused || !this.#token)) this.#token = await getToken({ refused });
    if (this.#token) headers.set('Authorization', `Bearer ${this.#token}`);
    const credentials = withCredentials ? 'include' : 'same-origin';
    return { method, ...bodyOf(body, headers), headers, signal, cache: 'no-store', credentials };
  }

  /** Whether the head is that of a stream; otherwise throws, or closes where there is to be none. */
  #admit(response, known) {
    const meaning = verdict(response.status);
    if (meaning === 'stop') {
      this.close('stopped');
      return false;
    }
    // [spec] Anything but text/event-stream fails for good: a log-in page does not become a stream by asking again.
    const isStream = /^text\/event-stream\s*(;|$)/i.test(response.headers.get('content-type') ?? '');
    known.fatal = meaning === 'fatal' || (meaning === 'open' && !isStream);
    if (meaning === 'open' && isStream) {
      this.#state = OPEN;
      this.dispatchEvent(Object.assign(new Event('open'), known));
      if (this.#state === OPEN) this.#say('open'); // unless a listener closed it
      return this.#state === OPEN;
    }
    response.body?.cancel().catch(() => {});
    throw new Error(`status ${response.status}${isStream ? '' : ', and not an event stream'}`);
  }

  async #read(body, attempt) {
    const parser = createParser({
      lastEventId: this.#lastEventId,
      onRetry: (ms) => { this.#asked = ms; },
      onEvent: (event) => { if (this.#attempt === attempt) this.#deliver(event); },
    });
    const reader = body.getReader();
    attempt.signal.addEventListener('abort', () => reader.cancel().catch(() => {}));
    for (;;) {
      const { done, value } = await reader.read();
      if (done || this.#attempt !== attempt) return;
      this.#heard();
      parser.feed(value);
      if (this.#attempt === attempt) this.#lastEventId = parser.lastEventId;
    }
  }

  #deliver({ type, data, lastEventId }) {
    this.#failures = 0;
    // Kept before it is delivered: who reads source.lastEventId while handling an event means that event.
    this.#lastEventId = lastEventId;
    const { origin } = new URL(this.url);
    this.dispatchEvent(new MessageEvent(type, { data, lastEventId, origin }));
    if (type !== 'message') return;
    if (data === '[DONE]' && this.#options.closeOnDone) this.close('done');
    else if (saysGoodbye(data)) this.close('dismissed');
  }

  /** The link is gone, or never was: say so, and come back unless it is of no use. */
  #lost(known, error) {
    this.#attempt.abort();
    this.#attempt = null;
    if (this.#state === CLOSED) return;
    const mayHelp = !known.fatal && !(error instanceof RangeError) && this.#isRepeatable;
    const willRetry = mayHelp && this.#failures < this.#options.maxRetries;
    const retryInMs = willRetry ? this.#nextWait(known) : null;
    if (willRetry) this.#state = CONNECTING;
    else this.#end(); // [spec] closed before it is told, so that a listener sees that this was the last
    this.dispatchEvent(Object.assign(new Event('error'), { ...known, fatal: !willRetry, willRetry, retryInMs, error }));
    if (!willRetry) this.#say('closed', { reason: 'fatal' });
    else if (this.#state !== CLOSED && !this.#attempt) { // by a listener, or begun anew
      this.#after(retryInMs, () => this.#connect());
      this.#say('waiting', { retryInMs });
    }
  }

  #nextWait(known) {
    const ms = wait({
      failures: this.#failures, asked: this.#asked, bounds: this.#options.retry,
      atLeast: retryAfter(known.headers?.get('retry-after')),
    });
    this.#failures += 1;
    return ms;
  }

  /** Any byte counts as a sign of life, a comment too. */
  #heard() {
    this.#watch(this.#options.heartbeatTimeout || Infinity);
  }

  #watch(ms) {
    this.#after(ms, () => {
      // Timers of a hidden page are throttled and its network may be frozen: silence proves nothing there.
      if (!isHidden()) this.#attempt?.abort(new Error(SILENCE));
    });
  }

  #after(ms, act) {
    clearTimeout(this.#timer);
    this.#dueAt = Date.now() + ms;
    if (ms < Infinity) this.#timer = setTimeout(act, ms);
  }

  #say(state, more = {}) {
    const detail = { state, retryInMs: null, reason: '', ...more };
    this.dispatchEvent(Object.assign(new Event('status'), { detail }));
  }
}
