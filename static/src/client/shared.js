/**
 * One event stream for all tabs of a browser: one of them, the leader, holds it and relays what comes to the others.
 * Touches BroadcastChannel, the clock, and through leading.js and source.js Web Locks and the network; where a page has
 * no Web Locks or no channels, each tab has a stream of its own.
 *
 * A Web Lock says who leads; when it ends, the next in line goes on from its own cursor. What is relayed says between
 * which two places of the log it lies, and each tab takes only what comes next for it: so it is told each event exactly
 * once, whoever leads. A tab that stands elsewhere reads a stream of its own until it meets the leader's, one tab at a
 * time. A leader whose page sleeps and answers nobody loses the lock.
 */

import { Leadership } from './leading.js';
import { Tapped, errorOf, known, relayable } from './relaying.js';
import { address } from './request.js';
import { CLOSED, CONNECTING, OPEN, listen, newEventSource } from './source.js';
import { Standing } from './standing.js';
import { isHidden, onWake } from './waking.js';

const PATIENCE = 3_000; // ms a leader has to answer
const ROUND = 20_000; // ms between questions whether it still does
const QUIET = 2_000; // ms of an own stream after which others need not wait for this tab to catch up
const VERSION = 1; // of what the tabs tell each other: those of an older page must not meet those of a newer one
const STATES = { open: OPEN, closed: CLOSED };

/** As newEventSource, and with the same surface; shared by all pages of an origin that name the same stream. */
export function newSharedSource(options = {}) {
  const isPossible = globalThis.navigator?.locks && globalThis.BroadcastChannel;
  return isPossible ? new SharedSource({ ...options, url: address({ ...options, lastEventId: '' }) }) : newEventSource(options);
}

class SharedSource extends EventTarget {
  #options;
  #channel;
  #leadership;
  #sleep;
  #standing;
  #state = CONNECTING;
  #status = { state: 'connecting', retryInMs: null, reason: '' };
  #own = null; // the leader's stream, or that of a tab that catches up
  #leaving = new AbortController();
  #letNext = () => {}; // lets the next tab catch up
  #quiet = 0;
  #timer = 0;

  constructor(options) {
    super();
    const { onMessage, onError, onOpen, onStatus, signal, ...rest } = options;
    this.#options = rest;
    this.#standing = new Standing(options.lastEventId ?? '');
    listen(this, options);
    this.#channel = new BroadcastChannel(this.#name);
    this.#channel.onmessage = ({ data }) => this.#hear(data);
    this.#leadership = new Leadership(this.#name, { onLead: () => this.#lead(), onLost: () => this.#demoted() });
    this.#sleep = onWake(() => this.#askLeader());
    signal?.addEventListener('abort', () => this.close(), { once: true });
    if (signal?.aborted) return this.close();
    this.#leadership.queue();
    this.#askLeader();
  }

  get readyState() { return this.#state; }
  get url() { return this.#options.url; }
  get withCredentials() { return Boolean(this.#options.withCredentials); }
  get lastEventId() { return this.#standing.place; }
  /** Whether this tab holds the stream of all. */
  get isLeader() { return this.#leadership.isHeld; }
  get #name() { return `deltahub ${VERSION} ${this.url}`; }

  close(reason = 'asked') {
    if (this.#state === CLOSED) return;
    this.#end();
    this.#say({ state: 'closed', retryInMs: null, reason });
  }

  reconnect() {
    if (this.#own) this.#own.reconnect();
    else if (this.#state !== CLOSED) this.#post({ kind: 'reconnect' });
  }

  #end() {
    this.#state = CLOSED;
    clearTimeout(this.#timer);
    this.#sleep();
    this.#leaving.abort();
    this.#drop();
    this.#leadership.leave();
    this.#channel.close();
  }

  // Who leads

  #lead() {
    clearTimeout(this.#timer);
    this.#caughtUp(); // a stream that was begun to catch up goes on as everyone's
    this.#own ??= this.#open();
    this.#announce();
  }

  #demoted() {
    this.#drop();
    this.#askLeader();
  }

  /** Asks the leader where it is, which also makes it look after its stream; one that does not answer is replaced. */
  #askLeader() {
    if (this.isLeader || this.#state === CLOSED) return;
    clearTimeout(this.#timer);
    if (isHidden()) return; // its clock is slow, and nobody waits for it
    this.#post({ kind: 'where' });
    this.#timer = setTimeout(() => this.#leadership.take(), PATIENCE);
  }

  #announce() {
    this.#post({ kind: 'here', at: this.#standing.at, status: this.#status });
  }

  // What the tabs tell each other

  #post(message) { this.#channel.postMessage(message); }

  #hear(message) {
    if (this.isLeader) this.#heed(message);
    else if (message.kind === 'here') this.#meet(message);
    else if (message.kind === 'event') this.#take(message);
    else if (message.kind === 'error') this.#echo(message);
    else if (message.kind === 'status') this.#follow(message.status);
  }

  /** As the leader, what the others ask for. */
  #heed({ kind }) {
    if (kind === 'reconnect') this.#own.reconnect();
    if (kind !== 'where') return;
    this.#own.check();
    this.#announce();
  }

  #meet({ at, status }) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#askLeader(), ROUND);
    this.#standing.met(at);
    if (this.#standing.isCatchingUp) this.#join();
    else if (this.#standing.isAbreast) this.#follow(status);
    else this.#catchUp();
  }

  #take(message) {
    if (this.#state === CLOSED) return; // by a listener of the one before
    const how = this.#standing.heard(message);
    if (how === 'next') this.#tell(message);
    else if (how === 'unknown') this.#catchUp([message]);
    else if (how === 'kept') this.#join();
  }

  #tell(message) {
    const { type, data, id: lastEventId } = message;
    this.#standing.told(message);
    this.dispatchEvent(new MessageEvent(type, { data, lastEventId, origin: new URL(this.url).origin }));
  }

  /** What broke the leader's link broke this tab's. */
  #echo(message) {
    if (!this.#standing.isCatchingUp) this.#fail(errorOf(message));
  }

  #fail(error) {
    if (error.fatal) this.#end();
    else this.#state = CONNECTING;
    this.dispatchEvent(Object.assign(new Event('error'), error));
    if (error.fatal) this.#say({ state: 'closed', retryInMs: null, reason: 'fatal' });
  }

  #follow(status) {
    if (this.#standing.isCatchingUp || this.#state === CLOSED) return;
    if (status.state === 'closed') this.close(status.reason);
    else if (JSON.stringify(status) !== JSON.stringify(this.#status)) this.#change(status);
  }

  #change(status) {
    const isNews = status.state === 'open' && this.#state !== OPEN;
    this.#state = STATES[status.state] ?? CONNECTING;
    if (isNews) this.dispatchEvent(Object.assign(new Event('open'), { status: 200, statusText: '', headers: null, requestId: '' }));
    this.#say(status);
  }

  #say(status) {
    this.#status = status;
    this.dispatchEvent(Object.assign(new Event('status'), { detail: status }));
  }

  // A stream of its own

  #open() {
    const own = new Tapped({ ...this.#options, lastEventId: this.lastEventId });
    own.tap = (event) => { if (this.#own === own) this.#overheard(event); };
    return own;
  }

  #drop() {
    const own = this.#own;
    this.#own = null; // first: what it says while it closes is nobody's business
    own?.close();
    this.#caughtUp();
  }

  #overheard(event) {
    if (event instanceof MessageEvent) this.#read(event);
    else if (event.type === 'status') this.#changed(event.detail);
    else if (event.type === 'error') this.#broken(known(event));
  }

  #read({ type, data, lastEventId }) {
    const message = { kind: 'event', type, data, prev: this.lastEventId, id: lastEventId };
    if (this.isLeader) this.#post(message);
    this.#tell(message);
    this.#join();
  }

  #changed(status) {
    if (this.isLeader) this.#post({ kind: 'status', status });
    if (status.state === 'closed') this.close(status.reason);
    else this.#change(status);
    this.#rest();
  }

  /** A link that breaks is everyone's; what is final for the leader need not be for the next, with another token. */
  #broken(error) {
    if (this.isLeader && !error.fatal) this.#post(relayable(error));
    this.#fail(error);
  }

  /** Reads on alone, once it is its turn, until it is where the leader is. */
  #catchUp(first) {
    this.#standing.beginsToCatchUp(first);
    const done = new Promise((resolve) => { this.#letNext = resolve; });
    const { signal } = this.#leaving;
    navigator.locks.request(`${this.#name} catching up`, { signal }, () => {
      this.#join();
      if (!this.#standing.isCatchingUp) return null;
      this.#own ??= this.#open();
      return done;
    }).catch(() => {}); // it left
  }

  /** Once its own stream is silent it is in time with the leader's, though nothing proves that before an event does. */
  #rest() {
    clearTimeout(this.#quiet);
    if (this.#standing.isCatchingUp) this.#quiet = setTimeout(this.#letNext, QUIET);
  }

  /** Goes over to what is relayed if that leads on from here. */
  #join() {
    if (!this.#standing.isCatchingUp || this.isLeader) return;
    const rest = this.#standing.rest();
    if (!rest) return;
    this.#drop();
    for (const message of rest) this.#take(message);
    this.#askLeader();
  }

  #caughtUp() {
    clearTimeout(this.#quiet);
    this.#standing.caughtUp();
    this.#letNext();
  }
}
