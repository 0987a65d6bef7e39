/** reader.mjs: what the build leaves of marked reads as marked does. */

import assert from 'node:assert/strict';
import { fileURLToPath } from 'node:url';
import { test } from 'node:test';

import * as esbuild from 'esbuild';

import { createLexer } from '../../static/src/markdown/lexer.js';
import { READER, inwardNames } from '../../static/reader.mjs';
import { SEED, createChance } from './drawn.mjs';
import { drawnMarkdown, sentence } from './markdown_texts.mjs';

const LEXER = fileURLToPath(new URL('../../static/src/markdown/lexer.js', import.meta.url));
const options = { entryPoints: [LEXER], bundle: true, minify: true, write: false, format: 'esm', charset: 'utf8' };

async function built(more) {
  const { outputFiles: [{ text }] } = await esbuild.build({ ...options, ...more });
  return text;
}

const whole = await built({});
const left = await built({ plugins: [READER], mangleProps: await inwardNames() });
const reader = await import(`data:text/javascript,${encodeURIComponent(left)}`);

const HARD = [
  'a&#60;b&#x3c;c&amp;d', '<pre>&#42;a</pre> &#42;', 'www.a.example and a@b.example, (https://c.example/d_(e))', '[a]: <b c> "d"\n\n[a] [b][a] ![c][A]',
  'a\n===\nb\n---\n', '    code\n\n\tmore', '- a\n\n  - b\n1) c\n   > d\n   e', '| a | b\n|--|:-:|\n| c\\|d | `e|f` |\n<div>\n', '> a\nb\n> - c\n\n> d',
  '***a** b*, __c__ _d_ ~~e~~ ~f~', '`` a ` b ``', 'a  \nb\\\nc', '<https://a.example> <a@b.example>', '<div>\n\n# a\n</div>\n<!-- b -->', '# a #\n####### b\n***\n',
];

function agree(text) {
  const [ours, theirs] = [reader.createLexer(), createLexer()];
  for (const isLive of [true, false]) assert.deepEqual(ours.blocks(text, isLive), theirs.blocks(text, isLive), text);
  assert.deepEqual(ours.links, theirs.links, text);
  assert.deepEqual(ours.inline(text), theirs.inline(text), text);
}

test('texts that touch each of its rules', () => HARD.forEach(agree));

test(`2,000 texts drawn from ${SEED}`, () => {
  const chance = createChance();
  for (let i = 0; i < 1_000; i += 1) {
    agree(drawnMarkdown(chance));
    agree(sentence(chance));
  }
});

test('it is less than two thirds of what a bundler leaves', () => assert.ok(left.length < whole.length * 0.66, `${left.length} of ${whole.length}`));
