/** pace.js: one drawing a frame, and a pause after a long one. */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Pace } from '../../static/src/markdown/pace.js';

test('the first piece is drawn at once', () => assert.ok(new Pace().isDue(0)));

test('what is quick is drawn each frame of 60 a second, and no more often', () => {
  const pace = new Pace();
  pace.drawn(1_000, 1_001);
  assert.ok(!pace.isDue(1_008));
  assert.ok(pace.isDue(1_016));
});

test('what takes long is drawn a fifth of the time at most', () => {
  const pace = new Pace();
  pace.drawn(1_000, 1_050);
  assert.ok(!pace.isDue(1_190));
  assert.ok(pace.isDue(1_200));
});

test('it is quick again after one that was slow', () => {
  const pace = new Pace();
  pace.drawn(1_000, 1_500);
  pace.drawn(3_000, 3_001);
  assert.ok(pace.isDue(3_016));
});
