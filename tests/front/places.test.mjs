/** places.js: what a cursor tells, and what it does not. */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { isAtOrAfter, isWithinOpening, meaning } from '../../static/src/client/places.js';

const delta = (prev, id) => ({ prev, id, data: '{"type":"delta","clientId":"c"}' });
const whole = (prev, id) => ({ prev, id, data: '{"type":"started","clientId":"c"}' });
const greeting = (resumed) => `{"type":"connected","clientId":"c","resumed":${resumed}}`;

test('numbers of one epoch are in order, with the client behind them or not', () => {
  for (const [a, b] of [['e.5', 'e.4'], ['e.10', 'e.9'], ['e.5.client.1', 'e.4.client.1'], ['e.7', 'e.7.c']]) {
    assert.ok(isAtOrAfter(a, b), `${a} ${b}`);
  }
  assert.ok(!isAtOrAfter('e.9', 'e.10'));
});

test('equal cursors are one place, whatever they look like', () => {
  for (const place of ['', 'x', '7', 'e.1', '天']) assert.ok(isAtOrAfter(place, place));
});

test('nothing is made of other cursors', () => {
  const others = [['e.5', 'f.4'], ['e.5', ''], ['', 'e.5'], ['5', '4'], ['e.x5', 'e.x4'], ['e5', 'e4'], ['.5', '.4'], ['e.5x', 'e.4']];
  for (const [a, b] of others) assert.ok(!isAtOrAfter(a, b), `${a} ${b}`);
});

test('an event that leads on from where the reader stands is the next one', () => {
  assert.equal(meaning(delta('e.4', 'e.5'), 'e.4'), 'next');
  assert.equal(meaning(delta('one', 'other'), 'one'), 'next');
  assert.equal(meaning(whole('', 'e.5'), ''), 'next');
});

test('what lies at or before the reader is old', () => {
  assert.equal(meaning(delta('e.4', 'e.5'), 'e.5'), 'old');
  assert.equal(meaning(delta('e.4', 'e.5'), 'e.9'), 'old');
});

test('a reader within the places of a whole event has not had it; of merged deltas it may have had some', () => {
  assert.equal(meaning(whole('e.2', 'e.9'), 'e.5'), 'next');
  assert.equal(meaning(delta('e.2', 'e.9'), 'e.5'), 'unknown');
});

test('a gap, another epoch or another kind of cursor is not guessed over', () => {
  assert.equal(meaning(whole('e.4', 'e.5'), 'e.3'), 'unknown');
  assert.equal(meaning(whole('f.1', 'f.2'), 'e.9'), 'unknown');
  assert.equal(meaning(whole('f.1', 'f.2'), ''), 'unknown');
});

test('an opening lasts until an event with a place of its own', () => {
  let within = isWithinOpening({ prev: '', id: '', data: greeting(false) }, false);
  assert.equal(within, false); // the greeting alone brings nothing that could be missed
  within = isWithinOpening(whole('', ''), within);
  assert.equal(within, true);
  assert.equal(isWithinOpening({ prev: '', id: 'e.8', data: '{"type":"snapshot"}' }, within), false);
});

test('a reconnect that resumes ends what a lost opening left; one that does not does not', () => {
  assert.equal(isWithinOpening({ prev: 'e.1', id: 'e.1', data: greeting(true) }, true), false);
  assert.equal(isWithinOpening({ prev: 'e.1', id: 'e.1', data: greeting(false) }, true), true);
});
