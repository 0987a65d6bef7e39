/** source.js in Node, against a real server of sockets: tokens, what is sent once only, when it gives up, the DOM's surface. */

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { test } from 'node:test';

import { CLOSED, CONNECTING, EventSource, OPEN, newEventSource } from '../../static/src/client/index.js';

const STREAM = { 'Content-Type': 'text/event-stream' };
const DONE = 'data: [DONE]\n\n';
const QUICK = { min: 1, max: 5 };

/** A server that answers the requests in turn, the last answer for ever: (response, request, body) each. */
async function serving(t, ...answers) {
  const asked = [];
  const server = createServer(async (request, response) => {
    let body = '';
    for await (const chunk of request) body += chunk;
    const { method, headers } = request;
    asked.push({ method, headers, body, url: request.url });
    answers[Math.min(asked.length, answers.length) - 1](response);
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => { server.closeAllConnections(); server.close(); });
  return { url: `http://127.0.0.1:${server.address().port}/sse`, asked };
}

const status = (code, headers = {}) => (response) => response.writeHead(code, headers).end();
const whole = (text) => (response) => response.writeHead(200, STREAM).end(text);
const open = (text) => (response) => { response.writeHead(200, STREAM).write(text); };
const torn = (text) => (response) => {
  response.writeHead(200, STREAM).write(text);
  setTimeout(() => response.destroy(), 20);
};

/** Runs a source until it is closed; gives what it said. */
function run(options) {
  const said = { messages: [], errors: [], states: [] };
  return new Promise((resolve) => {
    newEventSource({
      retry: QUICK, ...options,
      onMessage: ({ data }) => said.messages.push(data),
      onError: ({ status: code, fatal, willRetry, requestId }) => said.errors.push({ code, fatal, willRetry, requestId }),
      onStatus: ({ state, reason }) => {
        said.states.push(state);
        if (state === 'closed') resolve({ ...said, reason });
      },
    });
  });
}

function tokens(...given) {
  const calls = [];
  const getToken = async (why) => {
    calls.push(why);
    return given[Math.min(calls.length, given.length) - 1];
  };
  return { getToken, calls };
}

test('a token is asked for once and sent with each request', async (t) => {
  const { url, asked } = await serving(t, torn('data: a\n\n'), whole(DONE));
  const { getToken, calls } = tokens('one', 'two');
  const said = await run({ url, getToken });
  assert.deepEqual(said.messages, ['a', '[DONE]']);
  assert.deepEqual(asked.map(({ headers }) => headers.authorization), ['Bearer one', 'Bearer one']);
  assert.deepEqual(calls, [{ refused: false }]);
});

test('a refused token is asked for once more, without an error that anyone hears of', async (t) => {
  const { url, asked } = await serving(t, status(401), whole(DONE));
  const { getToken, calls } = tokens('old', 'new');
  const said = await run({ url, getToken });
  assert.deepEqual(asked.map(({ headers }) => headers.authorization), ['Bearer old', 'Bearer new']);
  assert.deepEqual(calls, [{ refused: false }, { refused: true }]);
  assert.deepEqual([said.errors, said.reason], [[], 'done']);
});

test('a token that is refused again is final', async (t) => {
  const { url, asked } = await serving(t, status(401));
  const said = await run({ url, ...tokens('old', 'new') });
  assert.equal(asked.length, 2);
  assert.deepEqual(said.errors, [{ code: 401, fatal: true, willRetry: false, requestId: '' }]);
});

test('a token that ran out in the middle is asked for anew each time that happens', async (t) => {
  const { url, asked } = await serving(t, torn('data: a\n\n'), status(401), torn('data: b\n\n'), status(401), whole(DONE));
  const said = await run({ url, ...tokens('1', '2', '3') });
  assert.deepEqual(said.messages, ['a', 'b', '[DONE]']);
  assert.deepEqual(asked.map(({ headers }) => headers.authorization), ['Bearer 1', 'Bearer 1', 'Bearer 2', 'Bearer 2', 'Bearer 3']);
});

test('without a way to get a token, a 401 is final at once', async (t) => {
  const { url, asked } = await serving(t, status(401));
  const said = await run({ url, headers: { Authorization: 'Bearer fixed' } });
  assert.deepEqual([asked.length, asked[0].headers.authorization, said.reason], [1, 'Bearer fixed', 'fatal']);
});

test('a token that can not be had just now is a lost link like any other', async (t) => {
  const { url } = await serving(t, whole(DONE));
  let calls = 0;
  const getToken = async () => {
    calls += 1;
    if (calls === 1) throw new Error('the token service is away');
    return 't';
  };
  const said = await run({ url, getToken });
  assert.deepEqual(said.errors, [{ code: 0, fatal: false, willRetry: true, requestId: '' }]);
  assert.equal(said.reason, 'done');
});

test('a token that never comes is given up on after the time for silence', async (t) => {
  const { url } = await serving(t, whole(DONE));
  let calls = 0;
  const getToken = () => (calls++ ? 't' : new Promise(() => {}));
  const said = await run({ url, getToken, heartbeatTimeout: 50 });
  assert.deepEqual([said.errors.length, said.reason], [1, 'done']);
});

test('no token, no header', async (t) => {
  const { url, asked } = await serving(t, whole(DONE));
  await run({ url, getToken: () => '' });
  assert.equal(asked[0].headers.authorization, undefined);
});

for (const [what, answer] of [
  ['refused for a moment', status(503, { 'Retry-After': '0' })], ['refused for its token', status(401)], ['torn off', torn('data: a\n\n')],
]) {
  test(`a POST that is ${what} is never sent again`, async (t) => {
    const { url, asked } = await serving(t, answer, whole(DONE));
    const said = await run({ url, method: 'POST', body: { message: 'hi' }, ...tokens('t') });
    await new Promise((resolve) => setTimeout(resolve, 60));
    assert.equal(asked.length, 1);
    assert.deepEqual([said.errors.length, said.errors[0].willRetry, said.reason], [1, false, 'fatal']);
  });
}

test('a POST that can not be sent at all is not sent again either', async (t) => {
  const { url } = await serving(t, whole(DONE));
  let calls = 0;
  const said = await run({ url, method: 'post', body: 'x', fetch: async () => { calls += 1; throw new TypeError('Failed to fetch'); } });
  assert.deepEqual([calls, said.errors[0].willRetry], [1, false]);
});

test('a POST sends its body as JSON and ends with its answer, which is no error', async (t) => {
  const { url, asked } = await serving(t, whole('data: a\n\ndata: b\n\n'));
  const said = await run({ url, method: 'POST', body: { message: '你好' } });
  assert.deepEqual([asked[0].method, asked[0].headers['content-type'], asked[0].body], ['POST', 'application/json', '{"message":"你好"}']);
  assert.deepEqual([said.messages, said.errors, said.reason], [['a', 'b'], [], 'ended']);
});

test('attempts in a row are bounded where that is wished, and an event begins the count anew', async (t) => {
  const { url, asked } = await serving(t, status(500), status(500), torn('data: a\n\n'), status(500), status(500), status(500));
  const said = await run({ url, maxRetries: 2 });
  assert.deepEqual(said.errors.map(({ willRetry }) => willRetry), [true, true, true, true, false]);
  assert.deepEqual([asked.length, said.reason], [5, 'fatal']);
});

test('maxRetries 0 means one attempt', async (t) => {
  const { url, asked } = await serving(t, status(500));
  assert.equal((await run({ url, maxRetries: 0 })).reason, 'fatal');
  assert.equal(asked.length, 1);
});

test('an error tells the id under which the server knows the request', async (t) => {
  const { url } = await serving(t, status(403, { 'X-Request-ID': 'r-1' }));
  assert.equal((await run({ url })).errors[0].requestId, 'r-1');
});

test('headers may be made anew for each request, also later', async (t) => {
  const { url, asked } = await serving(t, torn('data: a\n\n'), whole(DONE));
  let n = 0;
  await run({ url, headers: async () => ({ 'X-N': String(n += 1) }) });
  assert.deepEqual(asked.map(({ headers }) => headers['x-n']), ['1', '2']);
});

test('characters that are split over packets arrive whole', async (t) => {
  const bytes = new TextEncoder().encode(`data: 天空🌤️\n\n${DONE}`);
  const { url } = await serving(t, async (response) => {
    response.writeHead(200, STREAM);
    for (const byte of bytes) {
      response.write(new Uint8Array([byte]));
      await new Promise(setImmediate);
    }
    response.end();
  });
  assert.deepEqual((await run({ url })).messages, ['天空🌤️', '[DONE]']);
});

test('the class has the surface of the DOM', async (t) => {
  const { url, asked } = await serving(t, open('id: 1\ndata: a\n\nevent: named\ndata: b\n\n'));
  const source = new EventSource(url, { withCredentials: true, retry: QUICK });
  assert.deepEqual([source.url, source.readyState, source.withCredentials], [url, CONNECTING, true]);
  assert.deepEqual([source.onopen, source.onmessage, source.onerror], [null, null, null]);
  assert.deepEqual([EventSource.CONNECTING, EventSource.OPEN, EventSource.CLOSED], [0, 1, 2]);
  assert.deepEqual([source.CONNECTING, source.OPEN, source.CLOSED], [0, 1, 2]);
  const heard = [];
  source.onopen = (event) => heard.push(event.type, source.readyState);
  source.onmessage = function (event) { heard.push(this === source, event.data, event.lastEventId, event.origin); };
  await new Promise((resolve) => source.addEventListener('named', (event) => { heard.push(event.data); resolve(); }));
  assert.deepEqual(heard, ['open', OPEN, true, 'a', '1', new URL(url).origin, 'b']);
  source.onmessage = 'no function, which is let be';
  source.close();
  assert.equal(source.readyState, CLOSED);
  assert.equal(asked[0].url, '/sse');
});

test('as the class, it does what the standard says on [DONE] and when a link ends: it comes back', async (t) => {
  const { url, asked } = await serving(t, whole(`id: 7\n${DONE}`), open('data: more\n\n'));
  const source = new EventSource(url, { retry: QUICK });
  const heard = [];
  await new Promise((resolve) => { source.onmessage = ({ data }) => { heard.push(data); if (data === 'more') resolve(); }; });
  source.close();
  assert.deepEqual(heard, ['[DONE]', 'more']);
  assert.equal(asked[1].headers['last-event-id'], '7');
});

test('at an error that is final the state is closed already', async (t) => {
  const { url } = await serving(t, status(404));
  const source = new EventSource(url);
  const state = await new Promise((resolve) => { source.onerror = () => resolve(source.readyState); });
  assert.equal(state, CLOSED);
});

test('an address that is none is refused as the DOM refuses it: at once', () => {
  assert.throws(() => new EventSource('http://'), TypeError);
});

test('a listener that closes on the first error is obeyed', async (t) => {
  const { url, asked } = await serving(t, status(500), whole(DONE));
  const source = new EventSource(url, { retry: QUICK });
  await new Promise((resolve) => { source.onerror = () => { source.close(); resolve(); }; });
  await new Promise((resolve) => setTimeout(resolve, 40));
  assert.deepEqual([asked.length, source.readyState], [1, CLOSED]);
});

test('a stream that is overdue is looked after when it is asked to, hidden or not', async (t) => {
  const { url, asked } = await serving(t, open(':\n\n'), whole(DONE));
  globalThis.document = { hidden: true, addEventListener() {}, removeEventListener() {}, baseURI: url };
  t.after(() => { delete globalThis.document; });
  const source = newEventSource({ url, heartbeatTimeout: 30, retry: QUICK });
  const closed = new Promise((resolve) => source.addEventListener('status', ({ detail }) => detail.state === 'closed' && resolve(detail)));
  await new Promise((resolve) => setTimeout(resolve, 200));
  source.check();
  assert.equal(asked.length, 1); // not before the grace for what may lie unread
  await new Promise((resolve) => setTimeout(resolve, 2_000));
  source.check();
  assert.equal((await closed).reason, 'done');
  assert.equal(asked.length, 2);
});

test('a listener that asks for the next attempt gets one, and no second one later', async (t) => {
  const { url, asked } = await serving(t, status(503), open('data: a\n\n'));
  const source = newEventSource({ url, retry: QUICK });
  source.addEventListener('error', () => source.reconnect());
  await new Promise((resolve) => { source.addEventListener('message', resolve); });
  await new Promise((resolve) => { setTimeout(resolve, 10 * QUICK.max); });
  source.close();
  assert.equal(asked.length, 2);
});

test('a POST that is told to reconnect before it began is sent once', async (t) => {
  const { url, asked } = await serving(t, whole('data: a\n\n'));
  const source = newEventSource({ url, method: 'POST', body: {} });
  source.reconnect();
  await new Promise((resolve) => { source.addEventListener('status', ({ detail }) => detail.state === 'closed' && resolve()); });
  assert.equal(asked.length, 1);
});

for (const phase of ['connecting', 'open', 'waiting']) {
  test(`closed by a listener while ${phase}, it says nothing more and asks for nothing`, async (t) => {
    const { url, asked } = await serving(t, phase === 'waiting' ? status(503) : open('data: a\n\n'));
    const calls = [];
    const said = [];
    const source = newEventSource({
      url, retry: QUICK, getToken: () => { calls.push('token'); return 't'; },
      onStatus: ({ state }) => { said.push(state); if (state === phase) source.close(); },
      onOpen: () => { if (phase === 'open') source.close(); },
      onMessage: ({ data }) => said.push(data),
    });
    await new Promise((resolve) => { source.addEventListener('status', ({ detail }) => detail.state === 'closed' && resolve()); });
    await new Promise((resolve) => { setTimeout(resolve, 10 * QUICK.max); });
    assert.deepEqual(said, phase === 'waiting' ? ['connecting', 'waiting', 'closed'] : ['connecting', 'closed']);
    const isAsked = phase !== 'connecting';
    assert.deepEqual([asked.length, calls.length], isAsked ? [1, 1] : [0, 0]);
  });
}

test('a clock that is set back does not put off the watch for silence', async (t) => {
  const { url } = await serving(t, open('data: a\n\n'), whole(DONE));
  const source = newEventSource({ url, retry: QUICK, heartbeatTimeout: 50 });
  await new Promise((resolve) => { source.addEventListener('message', resolve, { once: true }); });
  const { now } = Date;
  t.after(() => { Date.now = now; });
  Date.now = () => now() - 3_600_000;
  source.reconnect();
  Date.now = now;
  const [reason] = await new Promise((resolve) => {
    source.addEventListener('status', ({ detail }) => detail.state === 'closed' && resolve([detail.reason]));
  });
  assert.equal(reason, 'done');
});
