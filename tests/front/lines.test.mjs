/** Lines that the server pushed: kept with their place, not too many, and put back where they were. */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import * as actions from '../../static/src/chat/actions.js';
import { keptLines, withLines } from '../../static/src/chat/lines.js';
import { emptyState, newAnswer, newQuestion, receive } from '../../static/src/chat/state.js';

const line = (key, after = '', text = key) => ({ kind: 'line', key, text, after });
const keys = (turns) => turns.map(({ key }) => key).join(' ');
const TURNS = [newQuestion('a', 'q'), newAnswer('a'), newQuestion('b', 'q'), newAnswer('b')];

test('each line comes back behind the question or answer that it came after, in its order', () => {
  const turns = [line('0'), TURNS[0], TURNS[1], line('1', 'a'), line('2', 'a'), TURNS[2], TURNS[3], line('3', 'b')];
  const kept = JSON.parse(JSON.stringify(keptLines(turns)));
  assert.equal(keys(withLines(TURNS, kept)), keys(turns));
  assert.equal(keys(withLines(turns, kept)), keys(turns), 'and not twice');
});

test('a line whose place is gone comes last', () => {
  assert.equal(keys(withLines(TURNS.slice(0, 2), [line('1', 'gone'), line('0')])), '0 a? a 1');
  assert.equal(keys(withLines([], [line('1', 'gone'), line('2', 'gone')])), '1 2');
});

test('fifty are kept, the last ones, and of long ones as many as there is room for', () => {
  const many = Array.from({ length: 80 }, (_, at) => line(`n${at}`));
  assert.equal(keys(keptLines(many)), keys(many.slice(30)));
  const long = [line('old', '', 'x'.repeat(60_000)), line('mb', '', 'x'.repeat(1_000_000)), line('new', '', 'x'.repeat(60_000)), line('last')];
  assert.equal(keys(keptLines(long)), 'new last');
  assert.equal(keys(keptLines(long.slice(0, 2))), '');
  assert.equal(keys(keptLines(long.slice(2, 3))), 'new');
});

test('what is stored may be anything', () => {
  for (const lines of [null, 7, 'x', {}, [null, 7, {}, { key: 'k' }, { key: 1, text: 2, after: 3 }]]) {
    assert.deepEqual(actions.recalled({ ...emptyState(), turns: TURNS }, { lines }).turns, TURNS);
  }
});

test('a message is known again by its place in the log, and those without one are never taken for each other', () => {
  const sent = { type: 'message', data: 'hi', place: 'e.7' };
  const state = receive(receive(emptyState(), sent, 1), sent, 2);
  assert.equal(keys(state.turns), 'linee.7');
  const nameless = { type: 'message', data: 'hi', place: '' };
  assert.equal(receive(receive(state, nameless, 3), nameless, 3).turns.length, 3);
});

test('a conversation that is loaded anew keeps its lines where they were', () => {
  const messages = ['a', 'b'].flatMap((id) => [{ role: 'user', content: id }, { role: 'assistant', content: id, generationId: id }]);
  const conversation = { id: 'c', messages: messages.slice(0, 2) };
  let state = actions.loaded(emptyState(), { conversation });
  state = receive(state, { type: 'message', data: 'between', place: 'e.1' }, 1);
  assert.equal(keys(actions.loaded(state, { conversation: { id: 'c', messages } }).turns), 'a? a linee.1 b? b');
});
