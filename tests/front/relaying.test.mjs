/** relaying.js: what a source says can be taken from it, and an error reaches another page as it was. */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Tapped, errorOf, known, relayable } from '../../static/src/client/relaying.js';

const KNOWN = {
  status: 503, statusText: 'Busy', requestId: 'r-1', fatal: false, willRetry: true, retryInMs: 70,
  headers: new Headers({ 'Retry-After': '1' }), error: new Error('status 503'),
};

test('an error that was cloned says what it said before', () => {
  const said = errorOf(structuredClone(relayable(KNOWN)));
  assert.equal(said.headers.get('retry-after'), '1');
  assert.equal(said.error.message, 'status 503');
  for (const name of ['status', 'statusText', 'requestId', 'fatal', 'willRetry', 'retryInMs']) assert.equal(said[name], KNOWN[name]);
  assert.ok(!('kind' in said));
});

test('of an event only what it says is taken', () => {
  const event = Object.assign(new Event('error'), KNOWN);
  assert.deepEqual(known(event), KNOWN);
  Object.assign(new Event('error'), known(event)); // which all of an event can't be
});

test('an error without an answer has no headers', () => {
  assert.equal(errorOf(relayable({ ...KNOWN, headers: null })).headers, null);
});

test('a source that is tapped says nothing itself', async () => {
  const own = new Tapped({ url: 'http://127.0.0.1:1/', fetch: async () => { throw new TypeError('no network'); }, maxRetries: 0 });
  const tapped = [];
  own.addEventListener('error', () => assert.fail('said aloud'));
  await new Promise((resolve) => {
    own.tap = (event) => { tapped.push(event.detail?.state ?? event.type); if (event.detail?.state === 'closed') resolve(); };
  });
  assert.deepEqual(tapped, ['connecting', 'error', 'closed']);
});
