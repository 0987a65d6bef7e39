/** stream.js: a text cut anywhere stands as it does when it comes at once, and no piece is read twice without need. */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { createLexer } from '../../static/src/markdown/lexer.js';
import { BlockStream } from '../../static/src/markdown/stream.js';
import { createChance, SEED } from './drawn.mjs';
import { drawnMarkdown, Shown } from './markdown_texts.mjs';

const DOCUMENTS = 1_500;

function shown(pieces, { lexer = createLexer(), look = () => {} } = {}) {
  const stream = new BlockStream(lexer);
  const result = new Shown();
  for (const piece of pieces) {
    stream.feed(piece);
    result.take(stream.read());
    look(result.values);
  }
  stream.end();
  result.take(stream.read());
  return result.values;
}

/** What stands after each character: all that was ever seen. */
function seen(text) {
  const values = [];
  shown([...text], { look: (now) => values.push(now) });
  return values;
}

/** How many characters the lexer is given while `pieces` come. */
function charactersRead(pieces) {
  const lexer = createLexer();
  let count = 0;
  const blocks = (source, isLive) => {
    count += source.length;
    return lexer.blocks(source, isLive);
  };
  shown(pieces, { lexer: { ...lexer, blocks } });
  return count;
}

const typesOf = (text) => new Set(seen(text).flatMap((blocks) => blocks.map(({ type }) => type)));

test('a text cut anywhere stands as if it had come at once', () => {
  const c = createChance(SEED);
  for (let i = 0; i < DOCUMENTS; i += 1) {
    const text = drawnMarkdown(c);
    const whole = shown([text]);
    for (const pieces of [[...text], c.cut(text, 9), c.cut(text, 40)]) {
      assert.deepEqual(shown(pieces), whole, `seed ${SEED}: ${JSON.stringify(text)}`);
    }
  }
});

const ONCE_DIFFERENT = {
  'a table below another, without marks at its sides': 'a | b\n- | -\n1 | 2\n\n\na | b\n- | -\n1 | 2',
  'a table whose head has no marks, up to the last character': 'a|b\n-|-',
  'no-break and other wide spaces in a list': '- prix\u00a0: 5\n- 你好\u3000世界\n- \u2028\n  x',
  'a formula above the underline of a heading': 'a\n$$b$$\n2\n=\n',
  'a row of nothing but a wide space': 'a|b\n-|-\n1\n\u00a0\n\n',
};
for (const [name, text] of Object.entries(ONCE_DIFFERENT)) {
  test(`${name}: character for character it stands as when it comes at once`, () => {
    assert.deepEqual(shown([...text]), shown([text]));
  });
}

test('a formula in a quote is one once it has an end, and the next that begins there changes nothing', () => {
  const lexer = createLexer();
  const first = (text) => lexer.blocks(text, true)[0].tokens[0].items[0].tokens.map(({ type }) => type);
  assert.deepEqual(first('> - $$\n> - b\n\nand $$'), first('> - $$\n> - b\n\nand'));
});

test('a fence that is being typed is never seen as anything but code', () => {
  assert.deepEqual(typesOf('```python\nx = 1\n\n``\n```\n'), new Set(['code']));
  assert.deepEqual(typesOf('~~~~\n~~~\n~~~~'), new Set(['code']));
});

test('the language of a fence is known before the block is shown', () => {
  const languages = new Set(seen('```python\nx').flatMap((blocks) => blocks.map(({ lang }) => lang)));
  assert.deepEqual(languages, new Set(['python']));
});

test('a closing fence that is being typed is no line of the code', () => {
  for (const [block] of seen('```\na\n```\n')) if (block) assert.ok(!block.text.includes('`'), block.text);
});

test('the end of a longer fence is one that is as long', () => {
  const [code, rest] = shown([...'````\na\n```\nb\n````\nafter']);
  assert.equal(code.text, 'a\n```\nb');
  assert.deepEqual(rest, { type: 'paragraph', depth: undefined, text: 'after' });
});

test('a fence without an end is code up to the last character', () => {
  assert.deepEqual(shown([...'```js\nlet a\n\nlet b']), [{ type: 'code', lang: 'js', text: 'let a\n\nlet b' }]);
});

test('a fence that is indented is not, within', () => {
  assert.equal(shown([...'  ```\n  a\n    b\n c\n  ```'])[0].text, 'a\n  b\nc');
});

test('a head row is no paragraph while the row below it is on its way', () => {
  assert.deepEqual(typesOf('| a | b |\n|---|---|\n| 1 | 2 |\n'), new Set(['table']));
});

test('a row grows with its characters and is there only once', () => {
  const rows = seen('| a |\n|---|\n| one |\n| two |\n').flatMap((blocks) => blocks.map((block) => block.rows.flat().join()));
  assert.ok(rows.includes('one,tw'), rows.join(' / '));
  assert.equal(rows.at(-1), 'one,two');
});

test('a list of one mark is never seen as a rule or as the underline of a heading', () => {
  assert.deepEqual(typesOf('- one\n- two\n\n- three'), new Set(['list']));
  assert.deepEqual(typesOf('Words:\n- one'), new Set(['paragraph', 'list']));
});

test('items after a blank line are of the same list, which is a loose one', () => {
  const [list, ...others] = shown([...'1. one\n\n2. two\n\n3. three']);
  assert.deepEqual([list.items.length, list.loose, list.start, others.length], [3, true, 1, 0]);
});

test('two lists with other marks are two', () => {
  assert.deepEqual(shown([...'- a\n- b\n* c\n']).map(({ items }) => items.length), [2, 1]);
});

test('the place of each block in the text is known', () => {
  const text = '# Head\n\nText.\n\n- a\n- b\n\n| a |\n|---|\n| 1 |\n| 2 |\n\n```\ncode\n```\n\nEnd.';
  for (const pieces of [[text], [...text]]) {
    const stream = new BlockStream(createLexer());
    const places = new Map();
    let settled = 0;
    const take = (read) => {
      read.tokens.forEach(({ at, until }, index) => places.set(settled + index, [places.get(settled + index)?.[0] ?? at, until]));
      settled += read.settled;
    };
    for (const piece of pieces) {
      stream.feed(piece);
      take(stream.read());
    }
    stream.end();
    take(stream.read());
    const found = [...places.values()].map(([at, until]) => text.slice(at, until).trim());
    assert.deepEqual(found, ['# Head', 'Text.', '- a\n- b', '| a |\n|---|\n| 1 |\n| 2 |', '```\ncode\n```', 'End.']);
  }
});

const GROWING = {
  'a fence': (n) => `\`\`\`\n${'x = compute(1)\n'.repeat(n)}`,
  'a table': (n) => `| a | b |\n|---|---|\n${'| cell | cell |\n'.repeat(n)}`,
  'a list': (n) => '- an item of it\n'.repeat(n),
  'a row of paragraphs': (n) => 'A short paragraph.\n\n'.repeat(n),
  'a paragraph': (n) => 'and more of it '.repeat(4 * n),
};
for (const [name, make] of Object.entries(GROWING)) {
  test(`${name} of twice the length is read for about twice the price`, () => {
    const [one, two] = [300, 600].map((n) => charactersRead(make(n).match(/[^]{1,4}/g)));
    assert.ok(two < 2.3 * one, `${one} and ${two} characters`);
  });
}

test('formulas without an end cost no more the longer the text is', () => {
  const [one, two] = [1_500, 3_000].map((n) => charactersRead('\\[ a line of it\n'.repeat(n).match(/[^]{1,500}/g)));
  assert.ok(two < 2.3 * one, `${one} and ${two} characters`);
});

test('a paragraph without an end is cut, and nothing of it is lost', () => {
  for (const text of ['word '.repeat(10_000), 'x'.repeat(50_000), '😀'.repeat(20_000)]) {
    const blocks = shown(text.match(/[^]{1,999}/gu));
    assert.ok(blocks.length > 3);
    assert.equal(blocks.map((block) => block.text).join('').replaceAll(' ', ''), text.replaceAll(' ', ''));
  }
});

test('half a character is not shown', () => {
  const [before, after] = ['😀'[0], '😀'[1]];
  const stream = new BlockStream(createLexer());
  stream.feed(`a${before}`);
  assert.equal(stream.read().tokens[0].text, 'a');
  stream.feed(after);
  assert.equal(stream.read().tokens[0].text, 'a😀');
});
