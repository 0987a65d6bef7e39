/** Every client of the contract suite, behind one call: listen(name, url, seconds of silence) keeps in `heard` what came. */

import { fetchEventSource } from '@microsoft/fetch-event-source';
import { EventSourcePolyfill } from 'event-source-polyfill';
import { EventSource as EventSourceOfNpm } from 'eventsource';
import { SSE } from 'sse.js';

import { EventSource as OurClass, newEventSource } from '../../../static/src/client/index.js';

const heard = { data: [], errors: 0, closed: false };
let stop = () => {};

const hear = ({ data }) => heard.data.push(data);
const fail = () => { heard.errors += 1; };

function asInTheDom(source) {
  source.onmessage = hear;
  source.onerror = () => { fail(); heard.closed = source.readyState === 2; };
  return () => source.close();
}

const CLIENTS = {
  ours: (url, heartbeatTimeout, more) => {
    const source = newEventSource({
      url, heartbeatTimeout, closeOnDone: false, retry: { min: 100, max: 400 }, ...more, onMessage: hear, onError: fail,
      onStatus: ({ state }) => { heard.closed = state === 'closed'; },
    });
    return () => source.close();
  },
  'ours, as the class': (url, heartbeatTimeout) => asInTheDom(new OurClass(url, { heartbeatTimeout, retry: { min: 100, max: 400 } })),
  'native EventSource': (url) => asInTheDom(new EventSource(url)),
  'event-source-polyfill': (url, heartbeatTimeout) => asInTheDom(new EventSourcePolyfill(url, { heartbeatTimeout })),
  'eventsource': (url) => asInTheDom(new EventSourceOfNpm(url)),
  '@microsoft/fetch-event-source': (url) => {
    const abort = new AbortController();
    fetchEventSource(url, { signal: abort.signal, openWhenHidden: true, onmessage: hear, onerror: fail }).then(
      () => { heard.closed = true; }, () => { heard.closed = true; });
    return () => abort.abort();
  },
  'sse.js': (url) => {
    const source = new SSE(url, { autoReconnect: true, reconnectDelay: 100 });
    source.onmessage = hear;
    source.onerror = fail;
    return () => source.close();
  },
};

export const names = Object.keys(CLIENTS);

export function listen(name, url, silence = 60_000, more = {}) {
  stop();
  Object.assign(heard, { data: [], errors: 0, closed: false });
  stop = CLIENTS[name](url, silence, more);
}

export const look = () => heard;
export const end = () => { stop(); stop = () => {}; };
