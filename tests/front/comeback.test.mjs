/** What a reader is told once the connection is back: only one who was told of its loss, how much came, and not for long. */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Comeback, caughtUp } from '../../static/src/chat/comeback.js';
import { emptyState, newAnswer, newQuestion } from '../../static/src/chat/state.js';

const answer = (id, content = '') => newAnswer(id, { content });
const line = (key, text) => ({ kind: 'line', key, text });

function state(link, turns = [], needs = {}) {
  const empty = emptyState();
  return { ...empty, turns, link: { ...empty.link, state: link }, needs: { ...empty.needs, ...needs } };
}

/** What is told at each of [state, isTroubled, now]. */
function told(...looks) {
  const comeback = new Comeback();
  return looks.map(([now, at, isTroubled = false]) => comeback.look(now, isTroubled, at));
}

const BEFORE = [newQuestion('a', 'q'), answer('a', 'half')];
const LOST = [[state('open', BEFORE), 0], [state('waiting', BEFORE), 4_000, true]];

test('who was told of the loss is told of the return, then for how much, then nothing more', () => {
  const after = [...BEFORE.slice(0, 1), answer('a', 'half and more'), line('l', 'news')];
  const open = state('open', after);
  const [, , first, sure, late, gone] = told(...LOST, [state('open', BEFORE), 9_000], [open, 10_000], [state('open', [...after, line('m', 'live')]), 12_000], [open, 15_000]);
  assert.deepEqual(first, { count: 0, isSure: false });
  assert.deepEqual(sure, { count: 2, isSure: true });
  assert.deepEqual(late, { count: 2, isSure: true }, 'what comes later is not caught up, but new');
  assert.equal(gone, null);
});

test('a loss that was too short to be shown, and a first connection that took long, are no return', () => {
  assert.deepEqual(told([state('open'), 0], [state('waiting'), 1_000], [state('open'), 2_000]), [null, null, null]);
  assert.deepEqual(told([state('connecting'), 4_000, true], [state('open'), 5_000]), [null, null]);
});

test('it is certain only when nothing is left to be asked of the server', () => {
  const asking = state('open', BEFORE, { answers: ['a'] });
  const looks = told(...LOST, [asking, 9_000], [asking, 11_000], [state('open', [BEFORE[0], answer('a', 'half of it')]), 11_500]);
  assert.deepEqual(looks.slice(3), [{ count: 0, isSure: false }, { count: 1, isSure: true }]);
});

test('a second loss counts from the first on, and each return is told anew', () => {
  const back = state('open', [...BEFORE, line('l', 'news')]);
  const looks = told(...LOST, [state('open', BEFORE), 5_000], [state('waiting', BEFORE), 5_500], [back, 9_000], [back, 10_000], [back, 20_000], [state('waiting', back.turns), 30_000, true], [back, 31_000]);
  assert.deepEqual(looks[3], null);
  assert.deepEqual(looks[5], { count: 1, isSure: true });
  assert.deepEqual(looks.slice(6), [null, null, { count: 0, isSure: false }]);
});

test('counted are answers and messages that are new or have grown, not questions and not what is empty', () => {
  const after = [...BEFORE, newQuestion('b', 'mine'), answer('b'), answer('c', 'new'), line('l', 'news')];
  assert.equal(caughtUp(BEFORE, after), 2);
  assert.equal(caughtUp(BEFORE, [answer('a', 'ha')]), 0);
  assert.equal(caughtUp([], [newAnswer('t', { reasoning: 'hm' })]), 1);
});
