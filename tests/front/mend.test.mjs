/** mend.js: a text that is being written reads as it will, and nothing that is seen of it has to be taken back. */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { createLexer } from '../../static/src/markdown/lexer.js';
import { mend } from '../../static/src/markdown/mend.js';
import { createChance, SEED } from './drawn.mjs';
import { sentence } from './markdown_texts.mjs';

const lexer = createLexer();

/** Spans as a line: bold in ** **, italic in / /, code in ` `, a link in [ ], a formula in $ $. */
const drawn = (spans) => spans.map(({ kind, text, tex, children }) => ({
  text: () => text, strong: () => `**${drawn(children)}**`, em: () => `/${drawn(children)}/`, del: () => `~${drawn(children)}~`,
  code: () => `\`${text}\``, link: () => `[${drawn(children)}]`, image: () => '<image>', formula: () => `$${tex}$`, break: () => '\n',
})[kind]()).join('');
const read = (source) => {
  const { text, open } = mend(source);
  return drawn(lexer.inline(text)) + (open ? `$${open.tex}$` : '');
};

const READ = [
  ['a **bo', 'a **bo**'], ['a **bold*', 'a **bold**'], ['a **', 'a '], ['a *it', 'a /it/'], ['a ***b', 'a /**b**/'], ['~~x', '~x~'],
  ['a **b *c', 'a **b /c/**'], ['**a** *', '**a** '], ['a `co', 'a `co`'], ['a `', 'a '], ['``a `', '`a `'], ['a **b `c', 'a **b `c`**'],
  ['[lab', 'lab'], ['[label]', 'label'], ['[label](htt', 'label'], ['[label](http://a.b)', '[label]'], ['[**la', '**la**'], ['see [a][re', 'see a'],
  ['![alt](htt', ''], ['a ![alt', 'a '], ['Hi!', 'Hi'], ['<https://a.b', '[https://a.b]'], ['a <https://a.b/x_', 'a [https://a.b/x]'], ['a <ht', 'a '], ['a <br', 'a '], ['a <div', 'a <div'],
  ['AT&am', 'AT'], ['a \\', 'a '], ['\\*a', '*a'], ['$$x', '$x$'], ['a \\(b_c', 'a $b_c$'], ['$$x$$ a', '$x$ a'], ['$$x$', '$x$'],
  ['2*3', '2*3'], ['a_b', 'a_b'], ['2 * 3', '2 * 3'], ['~5', '~5'], ['**注意：', '**注意：**'], ['中文**重', '中文**重**'], ['costs $5', 'costs $5'],
  ['[x] done [1', '[x] done 1'], ['a](b', 'a](b'], ['f(x)[i] ', 'f(x)[i] '],
];
for (const [source, expected] of READ) {
  test(`${JSON.stringify(source)} is shown as ${JSON.stringify(expected)}`, () => assert.equal(read(source), expected));
}

test('a bracket that stays open is a bracket', () => {
  const text = `[ ${'word '.repeat(40)}`;
  assert.equal(read(text), text);
});

test('up to the safe place a text reads the same whatever follows', () => {
  const c = { ...createChance(SEED), isTidy: true };
  for (let i = 0; i < 4_000; i += 1) {
    const [before, after] = [sentence(c), c.chosen([' ', '', '\n']) + sentence(c)];
    const { safe } = mend(before);
    const whole = before + after;
    const apart = drawn(lexer.inline(whole.slice(0, safe))) + drawn(lexer.inline(whole.slice(safe)));
    assert.equal(apart, drawn(lexer.inline(whole)), `seed ${SEED}: ${JSON.stringify([before, after, safe])}`);
  }
});

test('a long text has safe places, with spaces and without', () => {
  assert.ok(mend('Words **in bold** and `code` [link](http://a.b) and more. '.repeat(5)).safe > 200);
  assert.ok(mend('中文**粗体**没有空格，也能安全地分开。'.repeat(12)).safe > 200);
});

test('an address is not cut', () => {
  assert.equal(mend(`a https://a.example/${'中文'.repeat(100)}`).safe, 2);
});

/** ms of a processor: others may have it meanwhile. */
function spentOn(text) {
  const before = process.cpuUsage();
  lexer.inline(mend(text).text);
  lexer.inline(text);
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1_000;
}

for (const piece of ['**a ', '[a](', '![', '<', '`', '_a', '$$', '\\(', '[', ']', '*', '~~', '&', '[a][', '``` ', '\\']) {
  // A paragraph is cut at 8,192 characters, see stream.js: up to there marked's square is borne, and nothing steeper.
  test(`twice as many ${JSON.stringify(piece)} take at most six times as long`, () => {
    const half = spentOn(piece.repeat(4_096 / piece.length));
    const whole = spentOn(piece.repeat(8_192 / piece.length));
    assert.ok(whole < 6 * half + 100, `${half} ms, then ${whole} ms`);
  });
}
