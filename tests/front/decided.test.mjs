/** decided.js: what of a last line is held back, and what is not. */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { decidedLength } from '../../static/src/markdown/decided.js';

const visible = (text, options) => text.slice(0, decidedLength(text, options));

const HELD = {
  'what may be a list, a rule or an underline': ['-', '- ', '--', '*', '* * ', '___', '=', '+', '1', '12.', '3)', '**'],
  'what may be a heading': ['#', '###', '### '],
  'what may be a fence': ['`', '``', '```', '```py', '~~~', '~~~ any'],
  'what may be a table': ['|', '| a', '| a | b |', '| a |\n', '| a |\n|', '| a |\n|--', '-|', ':-', '|:-: | -'],
  'what may be a definition or a task': ['[', '[lab', '[label]', '[label]: http://x', '- [', '- [x', '- [ ]', '- [ ] '],
  'what may be a formula': ['\\', '$', '$$'],
  'marks of a quote': ['>', '> ', '> - ', '> > 1.'],
};
for (const [name, lines] of Object.entries(HELD)) {
  test(`${name} is held back`, () => {
    for (const line of lines) assert.equal(visible(`before\n\n${line}`), 'before\n\n', line);
  });
}

test('what can be one thing only is shown', () => {
  for (const line of ['a', '-a', '- a', '1. a', '2024 was', '# a', '#a', '```code``` a', '*a', '**a', '[a](', '[a] b', '> a', '$5', '====a', '12345678901']) {
    assert.equal(visible(`before\n\n${line}`), `before\n\n${line}`);
  }
});

test('the row that is being written is shown below the second line of a table', () => {
  for (const text of ['| a |\n|---|\n| 1', '| a |\n|---|\n| 1 |\n| 2 ', 'x\n\n- | a |\n  |---|\n  | 1']) assert.equal(visible(text), text);
});

test('the row that is being written is shown where a table goes on, but not behind its end', () => {
  assert.equal(visible('| 1 |\n| 2', { inTable: true }), '| 1 |\n| 2');
  assert.equal(visible('| 1 |\n\n| a', { inTable: true }), '| 1 |\n\n');
  assert.equal(visible('| 1 |\n\na | b\n- |', { inTable: true }), '| 1 |\n\na | b\n');
  assert.equal(visible('\n\n| a |\n', { inTable: true }), '\n\n');
});

test('a long sentence in brackets is a sentence', () => {
  const line = `[Note]: ${'word '.repeat(80)}`;
  assert.equal(visible(line), line);
});

test('the first half of a character is held back', () => {
  assert.equal(visible(`a${'😀'[0]}`), 'a');
});
