/** How much longer a question may be: nothing said while there is plenty of room, and what is said is safe to rely on. */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { charactersLeft } from '../../static/src/page/room.js';

const LIMIT = 100_000; // bytes
const UUID = '3f2504e0-4f89-41d3-9a0c-0305e82c3301';
const bodyOf = (message) => ({ clientId: 'x'.repeat(128), conversationId: UUID, message, generationId: UUID });
const isTaken = (text) => Buffer.byteLength(JSON.stringify(bodyOf(text))) <= LIMIT;

for (const [name, unit] of Object.entries({ letters: 'a', Chinese: '长', emoji: '🎉', quotes: '"', 'line breaks': '\n', controls: '\u0001' })) {
  test(`of ${name}: what is said to fit does, and nothing is said below nine tenths`, () => {
    const bytes = Buffer.byteLength(JSON.stringify(unit)) - 2;
    const of = (share) => unit.repeat(Math.floor((LIMIT * share) / bytes));
    assert.equal(charactersLeft(of(0.85), LIMIT), null);
    const text = of(0.95);
    const left = charactersLeft(text, LIMIT);
    assert.ok(left > 0);
    assert.ok(isTaken(text + unit.repeat(Math.floor(left / unit.length))));
    assert.ok(charactersLeft(of(1.01), LIMIT) < 0);
  });
}

test('one too many is said as one too many, never as none', () => {
  const text = 'a'.repeat(LIMIT);
  const over = -charactersLeft(text, LIMIT);
  assert.ok(over > 0);
  assert.ok(isTaken(text.slice(over)));
  assert.ok(charactersLeft(text.slice(over), LIMIT) >= 0);
});

test('without a text there is nothing to say', () => {
  assert.equal(charactersLeft('', LIMIT), null);
  assert.equal(charactersLeft('a', 1_000), null);
});
