/** The types of index.js; those of shared.js are in shared.d.ts. Written by hand, held against both by tests/front. */

export const CONNECTING: 0;
export const OPEN: 1;
export const CLOSED: 2;

export type ReadyState = typeof CONNECTING | typeof OPEN | typeof CLOSED;

/** What is known of a response. status 0: there was none. */
export interface Known {
  readonly status: number;
  readonly statusText: string;
  readonly headers: Headers | null;
  /** What the server or a proxy calls the request (`X-Request-ID`); empty where nobody did. */
  readonly requestId: string;
}

export interface OpenEvent extends Event, Known {
  readonly type: 'open';
}

export interface ErrorEvent extends Event, Known {
  readonly type: 'error';
  /** The source is closed now: asking again would change nothing, or is not allowed. */
  readonly fatal: boolean;
  readonly willRetry: boolean;
  /** Milliseconds until the next attempt; null where there is none. */
  readonly retryInMs: number | null;
  readonly error: Error;
}

export interface Status {
  readonly state: 'connecting' | 'open' | 'waiting' | 'closed';
  readonly retryInMs: number | null;
  /**
   * Why it closed: by close() ('asked'), `[DONE]` ('done'), 204 ('stopped'), the server's goodbye ('dismissed'), the end
   * of a POST's answer ('ended'), or an error that is final ('fatal').
   */
  readonly reason: '' | 'asked' | 'done' | 'stopped' | 'dismissed' | 'ended' | 'fatal' | (string & {});
}

export interface StatusEvent extends Event {
  readonly type: 'status';
  readonly detail: Status;
}

/** What goes out with each request, and when there is another. */
export interface ConnectionOptions {
  /** Sent with each request; a function is asked before each. */
  headers?: HeadersInit | (() => HeadersInit | Promise<HeadersInit>);
  /** Gives a Bearer token. Asked once, and once more when the server refused it with 401. */
  getToken?: (why: { refused: boolean }) => string | null | undefined | Promise<string | null | undefined>;
  /** GET unless given. Anything else is sent once and never again, whatever happens to it. */
  method?: string;
  /** Plain objects and lists are sent as JSON. */
  body?: BodyInit | object | null;
  /** Cookies for another origin. */
  withCredentials?: boolean;
  /** The cursor to start after; later ones are taken from the stream. */
  lastEventId?: string;
  /** Milliseconds without a byte after which the stream is taken for dead; 0: never. 60,000 unless given. */
  heartbeatTimeout?: number;
  /** The bounds of the waits that the server does not prescribe, in milliseconds: 1,000 and 30,000 unless given. */
  retry?: { min?: number; max?: number };
  /** Attempts in a row without an event after which it gives up; without end unless given. */
  maxRetries?: number;
  /** Closes the source when aborted. */
  signal?: AbortSignal;
  /** In the place of the global one. */
  fetch?: (url: string, init: RequestInit) => Promise<Response>;
}

export interface SourceOptions extends ConnectionOptions {
  /** Where the stream is; `sse/createConnect` beside the page unless given. */
  url?: string | URL;
  /** Whose events to read; left out, the server issues a name. */
  clientId?: string;
  /** Closes after `[DONE]`, and asks the server to do so. True unless given. */
  closeOnDone?: boolean;
  onMessage?: (event: MessageEvent<string>) => void;
  onError?: (event: ErrorEvent) => void;
  onOpen?: (event: OpenEvent) => void;
  onStatus?: (status: Status) => void;
}

export interface SourceEventMap {
  open: OpenEvent;
  error: ErrorEvent;
  status: StatusEvent;
  message: MessageEvent<string>;
}

export interface Source extends EventTarget {
  readonly readyState: ReadyState;
  readonly url: string;
  readonly withCredentials: boolean;
  /** The cursor: of the last event that was delivered. */
  readonly lastEventId: string;
  /** Ends the stream for good; safe to call again. */
  close(reason?: string): void;
  /** Does not wait for the next attempt but makes it now. */
  reconnect(): void;
  addEventListener<K extends keyof SourceEventMap>(
    type: K, listener: (this: this, event: SourceEventMap[K]) => void, options?: boolean | AddEventListenerOptions): void;
  addEventListener(
    type: string, listener: ((event: MessageEvent<string>) => void) | EventListenerObject | null, options?: boolean | AddEventListenerOptions): void;
  removeEventListener(
    type: string, listener: ((event: any) => void) | EventListenerObject | null, options?: boolean | EventListenerOptions): void;
}

/** Opens a stream that is kept alive until it is closed. */
export function newEventSource(options?: SourceOptions): Source;

/** The same under the surface of the DOM's EventSource. It does not close on `[DONE]` unless told to. */
export class EventSource extends EventTarget implements Source {
  static readonly CONNECTING: 0;
  static readonly OPEN: 1;
  static readonly CLOSED: 2;
  readonly CONNECTING: 0;
  readonly OPEN: 1;
  readonly CLOSED: 2;
  constructor(url: string | URL, options?: ConnectionOptions & { closeOnDone?: boolean });
  readonly readyState: ReadyState;
  readonly url: string;
  readonly withCredentials: boolean;
  readonly lastEventId: string;
  onopen: ((this: EventSource, event: OpenEvent) => void) | null;
  onmessage: ((this: EventSource, event: MessageEvent<string>) => void) | null;
  onerror: ((this: EventSource, event: ErrorEvent) => void) | null;
  close(reason?: string): void;
  reconnect(): void;
  addEventListener: Source['addEventListener'];
  removeEventListener: Source['removeEventListener'];
}

export interface Parser {
  /** The next piece of the stream, cut anywhere. Throws RangeError once an event is longer than `maxEvent`. */
  feed(chunk: string | Uint8Array): void;
  readonly lastEventId: string;
}

/** The event stream format of the HTML standard, from bytes or text to events. */
export function createParser(options?: {
  onEvent?: (event: { type: string; data: string; lastEventId: string }) => void;
  onRetry?: (ms: number) => void;
  onComment?: (text: string) => void;
  lastEventId?: string;
  /** In characters; 16 Mi unless given. */
  maxEvent?: number;
}): Parser;

export const BOUNDS: { readonly min: number; readonly max: number };

/** What a status means for one who wants a stream. */
export function verdict(status: number): 'open' | 'stop' | 'retry' | 'fatal';

/** The milliseconds that a Retry-After asks for, at most ten minutes; 0 where there is none. */
export function retryAfter(header: string | null | undefined, now?: number): number;

/** The milliseconds before the next attempt: full jitter under a bound that doubles. */
export function wait(options: {
  failures: number;
  asked?: number | null;
  atLeast?: number;
  bounds?: { min: number; max: number };
  random?: () => number;
}): number;
