/** What a host page is told, and what is unread: the differences between states that the state itself makes. */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import * as actions from '../../static/src/chat/actions.js';
import { emptyState, receive } from '../../static/src/chat/state.js';
import { differences } from '../../static/src/chat/tell.js';
import { seen, unread } from '../../static/src/chat/unread.js';

const IDS = { generationId: 'g', conversationId: 'c' };
const begin = () => ({ ...emptyState(), loading: false });

/** Plays steps and gives [state, all that was told on the way]. */
function play(state, ...steps) {
  const told = [];
  for (const step of steps) {
    const next = step.act ? actions[step.act](state, { at: 1, ...step }) : receive(state, step, 1);
    told.push(...differences(state, next));
    state = next;
  }
  return [state, told];
}

const ASKED = [{ act: 'asked', ...IDS, content: 'q' }, { act: 'accepted', ...IDS }];
const delta = (seq, content) => ({ type: 'delta', ...IDS, seq, data: { content } });
const STARTED = { type: 'started', ...IDS, attempt: 1, data: { content: 'q' } };

test('a question and its answer are told in order, each delta once', () => {
  const done = { type: 'done', ...IDS, seq: 2, reason: 'stop' };
  const [, told] = play(begin(), ...ASKED, STARTED, delta(1, 'a'), delta(1, 'a'), delta(2, 'b'), done, done);
  assert.deepEqual(told, [
    ['message', { role: 'user', text: 'q', generationId: 'g' }],
    ['delta', { generationId: 'g', text: 'a', replaced: false }],
    ['delta', { generationId: 'g', text: 'b', replaced: false }],
    ['message', { role: 'assistant', text: 'ab', generationId: 'g' }],
  ]);
});

test('a second attempt says that its text takes the place of the first', () => {
  const [, told] = play(begin(), ...ASKED, STARTED, delta(1, 'a'), { ...STARTED, attempt: 2 }, delta(2, 'b'));
  assert.deepEqual(told.filter(([type]) => type === 'delta').map(([, { text, replaced }]) => [text, replaced]), [['a', false], ['b', false]]);
  const cleared = play(begin(), ...ASKED, STARTED, delta(1, 'a'), { type: 'snapshot', ...IDS, seq: 5, data: { content: 'new' } })[1];
  assert.deepEqual(cleared.at(-1), ['delta', { generationId: 'g', text: 'new', replaced: true }]);
});

test('what fails is told as an error, and what was there before as nothing', () => {
  const error = { type: 'error', ...IDS, seq: 0, code: 'auth', message: 'no' };
  assert.deepEqual(play(begin(), ...ASKED, error)[1].at(-1), ['error', { code: 'auth', message: 'no', generationId: 'g' }]);
  const problem = { status: 0, code: 'network', detail: 'gone' };
  const [, told] = play(begin(), ASKED[0], { act: 'refused', generationId: 'g', problem });
  assert.deepEqual(told, [['error', { code: 'network', message: 'gone', generationId: 'g' }]]);
  const conversation = { id: 'c', messages: [{ role: 'user', content: 'q' }, { role: 'assistant', content: 'a', generationId: 'g' }] };
  assert.deepEqual(play(emptyState(), { act: 'loaded', conversation })[1], []);
});

test('the state of the stream is told when it changes', () => {
  const status = { state: 'open', retryInMs: null, reason: '' };
  const [, told] = play(begin(), { act: 'linked', status }, { act: 'linked', status });
  assert.deepEqual(told, [['status', { state: 'open', reason: '' }]]);
});

test('answers, messages and notices that came since are unread, and nothing before is', () => {
  const [answered] = play(begin(), ...ASKED, STARTED, delta(1, 'a'), { type: 'done', ...IDS, seq: 1, reason: 'stop' });
  assert.equal(unread(answered, null), 0);
  assert.equal(unread(answered, seen(begin())), 1);
  assert.equal(unread(answered, seen(answered)), 0);
  const [more] = play(answered, { type: 'message', data: 'hi' }, { type: 'broadcast', data: 'all' }, { act: 'asked', generationId: 'h', content: 'x' });
  assert.equal(unread(more, seen(answered)), 2);
  assert.equal(unread({ ...more, loading: true }, seen(begin())), 0);
});

test('a mark of what is not there any more counts nothing as unread', () => {
  const [answered] = play(begin(), ...ASKED, STARTED, delta(1, 'a'), { type: 'done', ...IDS, seq: 1, reason: 'stop' });
  assert.equal(unread(answered, { turn: 'of another conversation', notice: '' }), 0);
});
