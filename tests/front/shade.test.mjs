/** A colour that somebody chose can be read on both grounds, and stays itself where it can. */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { contrast, parse, shades } from '../../static/src/chat/shade.js';

const LIGHT = [233, 241, 239];
const DARK = [32, 48, 47];

test('colours are read in both lengths, and nothing else is a colour', () => {
  assert.deepEqual(parse('#fff'), [255, 255, 255]);
  assert.deepEqual(parse('#0f6F6c'), [15, 111, 108]);
  for (const wrong of ['', 'red', '#ff', '#ffff', '#gggggg', ' #fff', '#fff;', 'rgb(0,0,0)']) assert.equal(parse(wrong), null, wrong);
});

test('contrast is that of WCAG', () => {
  assert.equal(contrast([0, 0, 0], [255, 255, 255]), 21);
  assert.equal(contrast([9, 9, 9], [9, 9, 9]), 1);
  assert.ok(Math.abs(contrast([119, 119, 119], [255, 255, 255]) - 4.48) < 0.01);
});

test('every colour can be read on either ground, as can what stands on it', () => {
  for (let red = 0; red <= 255; red += 51) {
    for (let green = 0; green <= 255; green += 51) {
      for (let blue = 0; blue <= 255; blue += 51) {
        for (const ground of [LIGHT, DARK]) {
          const made = shades([red, green, blue], ground);
          assert.ok(contrast(parse(made['--accent']), ground) >= 4.5, `${[red, green, blue]}`);
          assert.ok(contrast(parse(made['--accent']), parse(made['--on-accent'])) >= 4.5, `${[red, green, blue]}`);
        }
      }
    }
  }
});

test('a colour that can be read is left alone', () => {
  assert.equal(shades(parse('#0f6f6c'), LIGHT)['--accent'], '#0f6f6c');
});
