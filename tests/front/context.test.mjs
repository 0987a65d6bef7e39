/** What a page tells the model: only what is fit to be sent, as data, as it was when it was said. */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { aboutPage, aboutUser, inContext } from '../../static/src/widget/context.js';

test('nothing said is nothing told', () => {
  assert.equal(inContext(aboutUser(null), aboutPage(undefined)), '');
});

test('page and user are told as JSON', () => {
  const text = inContext(aboutUser({ id: 'u1', name: 'Mei' }), aboutPage({ page: 'Tea "green"' }));
  assert.match(text, /\{"page":"Tea \\"green\\""\}/);
  assert.match(text, /\{"id":"u1","name":"Mei"\}/);
});

test('what the page changes later changes nothing', () => {
  const given = { a: 1 };
  const kept = aboutPage(given);
  given.a = 2;
  assert.deepEqual(kept, { a: 1 });
});

test('what cannot be sent is refused with a sentence', () => {
  const circle = {};
  circle.self = circle;
  for (const wrong of ['text', 7, true, circle]) assert.throws(() => aboutPage(wrong), TypeError);
  assert.throws(() => aboutPage({ a: 'x'.repeat(20_001) }), RangeError);
  for (const wrong of ['u', {}, { id: '' }, { id: 'a b' }, { id: 7 }, { id: 'x'.repeat(129) }]) assert.throws(() => aboutUser(wrong), TypeError);
});
