/** request.js: addresses, headers and bodies as they go out. */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { address, asHeader, bodyOf, orAborted, saysGoodbye } from '../../static/src/client/request.js';

const URL_ = 'https://hub.example/p/sse/createConnect';

test('an address says whose stream it is, from where on, and only what differs from the usual', () => {
  assert.equal(address({ url: URL_ }), URL_);
  assert.equal(address({ url: URL_, clientId: 'a~b', lastEventId: 'e.5', closeOnDone: false }), `${URL_}?clientId=a%7Eb&closeOnDone=false&lastEventId=e.5`);
});

test('what the address had before stays', () => {
  assert.equal(address({ url: `${URL_}?token=t`, clientId: 'c' }), `${URL_}?token=t&clientId=c`);
});

test('an id goes out in the bytes of UTF-8, which is all that a header takes', () => {
  assert.equal(asHeader('e.5'), 'e.5');
  assert.equal(asHeader('天'), '\u00e5\u00a4\u00a9');
});

test('plain objects and lists go out as JSON, and say so unless the headers say otherwise', () => {
  for (const [body, text] of [[{ a: 1 }, '{"a":1}'], [[1], '[1]'], [Object.create(null), '{}']]) {
    const headers = new Headers();
    assert.deepEqual(bodyOf(body, headers), { body: text });
    assert.equal(headers.get('content-type'), 'application/json');
  }
  const headers = new Headers({ 'Content-Type': 'application/x-own+json' });
  assert.deepEqual(bodyOf({ a: 1 }, headers), { body: '{"a":1}' });
  assert.equal(headers.get('content-type'), 'application/x-own+json');
});

test('what fetch takes by itself is left to it', () => {
  const headers = new Headers();
  for (const body of ['text', new URLSearchParams('a=1'), new Uint8Array(2), new FormData()]) assert.equal(bodyOf(body, headers).body, body);
  for (const none of [undefined, null]) assert.deepEqual(bodyOf(none, headers), {});
  assert.equal(headers.get('content-type'), null);
});

test('waiting ends with the signal, though what is waited for does not listen to it', async () => {
  const abort = new AbortController();
  const waiting = orAborted(new Promise(() => {}), abort.signal);
  abort.abort(new Error('enough'));
  await assert.rejects(waiting, /enough/);
  assert.equal(await orAborted(Promise.resolve(7), new AbortController().signal), 7);
});

test('only a closing event that forbids to come back is a goodbye', () => {
  assert.ok(saysGoodbye('{"type":"closing","reason":"closed","reconnect":false}'));
  for (const other of [
    '{"type":"closing","reconnect":true}', '{"type":"closing"}', '{"type":"message","data":"\\"closing\\" reconnect:false"}',
    'no JSON "closing"', '[DONE]', 'null "closing"', '"closing"',
  ]) assert.ok(!saysGoodbye(other), other);
});
