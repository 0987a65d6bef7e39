/** A question that takes the place of an earlier one: what it replaces is back when it is given up, and gone when it is sent. */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import * as actions from '../../static/src/chat/actions.js';
import { emptyState, receive } from '../../static/src/chat/state.js';

const PROBLEM = { status: 0, code: 'network', detail: '' };

/** A conversation of these questions, each answered by its own letter in capitals. */
function conversation(...questions) {
  const messages = questions.flatMap((content) => [
    { role: 'user', content }, { role: 'assistant', content: content.toUpperCase(), generationId: content, state: 'done', reason: 'stop' },
  ]);
  return actions.loaded(emptyState(), { conversation: { id: 'c', messages } });
}

const shown = (state) => state.turns.map(({ content, text }) => content ?? text);

test('a changed question takes the place of the old one and of all that follows, but for messages', () => {
  const talked = receive(conversation('a', 'b', 'c'), { type: 'message', data: 'a parcel has come' }, 5);
  const asked = actions.asked(talked, { generationId: 'n', content: 'new', from: 'b' });
  assert.deepEqual(shown(asked), ['a', 'A', 'a parcel has come', 'new', '']);
  assert.deepEqual(actions.history(asked, 'n').map(({ content }) => content), ['a', 'A', 'new']);
});

test('what was replaced comes back when the new one is given up, also after it was tried twice', () => {
  const before = conversation('a', 'b');
  let state = actions.asked(before, { generationId: 'n', content: 'new', from: 'a' });
  state = actions.refused(state, { generationId: 'n', problem: PROBLEM });
  assert.deepEqual(shown(state), ['new']);
  state = actions.asked(state, { generationId: 'm', content: 'newer', again: 'n' });
  state = actions.refused(state, { generationId: 'm', problem: PROBLEM });
  assert.deepEqual(shown(actions.discarded(state, { generationId: 'm' })), ['a', 'A', 'b', 'B']);
});

test('once the server has it, there is nothing left to come back', () => {
  let state = actions.asked(conversation('a', 'b'), { generationId: 'n', content: 'new', from: 'b' });
  state = actions.accepted(state, { generationId: 'n', conversationId: 'c' });
  assert.deepEqual(state.turns.find(({ generationId }) => generationId === 'n').replaced, []);
});

test('a question that was not sent is given up without a trace', () => {
  let state = actions.asked(conversation('a'), { generationId: 'n', content: 'new' });
  state = actions.refused(state, { generationId: 'n', problem: PROBLEM });
  assert.deepEqual(shown(actions.discarded(state, { generationId: 'n' })), ['a', 'A']);
});

test('the pieces of tool calls become steps, whichever way the server cuts them', () => {
  const start = actions.asked({ ...emptyState(), loading: false }, { generationId: 'g', content: 'q' });
  const pieces = [
    [{ index: 0, id: '1', function: { name: 'weather', arguments: '' } }], [{ index: 0, function: { arguments: '{"city":' } }],
    [{ index: 0, function: { arguments: '"Lyon"}' } }, { index: 1, id: '2', function: { name: 'time', arguments: '{}' } }],
  ];
  const end = pieces.reduce((state, tool_calls, at) => (
    receive(state, { type: 'delta', generationId: 'g', seq: at + 1, data: { tool_calls } }, 1)), start);
  const whole = [{ id: '1', function: { name: 'weather', arguments: '{"city":"Lyon"}' } }, { id: '2', function: { name: 'time', arguments: '{}' } }];
  const told = receive(start, { type: 'snapshot', generationId: 'g', seq: 3, data: { tool_calls: whole } }, 1);
  for (const state of [end, told]) {
    assert.deepEqual(state.turns[1].tools.map(({ name, given }) => [name, given]), [['weather', '{"city":"Lyon"}'], ['time', '{}']]);
  }
  const broken = receive(start, { type: 'delta', generationId: 'g', seq: 1, data: { tool_calls: [null, 7, { function: {} }] } }, 1);
  assert.deepEqual(broken.turns[1].tools, []);
});
