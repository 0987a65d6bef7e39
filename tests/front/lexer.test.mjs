/** lexer.js with what it uses: Markdown as this house reads it. What marked itself does is marked's to test. */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { createLexer } from '../../static/src/markdown/lexer.js';

const read = (source) => createLexer().inline(source);
const kinds = (source) => read(source).map(({ kind }) => kind).join(' ');
const wordsIn = (source, kind) => read(source).filter((span) => span.kind === kind).map(({ children, text, tex }) => tex ?? text ?? children.map((child) => child.text).join(''));
const typesOf = (source, isLive) => createLexer().blocks(source, isLive).map(({ type }) => type).filter((type) => type !== 'space');

const BOLD = {
  '**注意：**正文': '注意：', '正文**“引用”**正文': '“引用”', '他说**「好」**了': '「好」', '中文**粗体**中文': '粗体', '**重点（一）**：内容': '重点（一）',
  '**스크립트(script)**를': '스크립트(script)', '**これは。**次': 'これは。', '**a**b': 'a', 'a **b** c': 'b', '**注意：**text': '注意：', '**100%**的人': '100%',
};
for (const [source, words] of Object.entries(BOLD)) {
  test(`${source} is bold where its writer meant it`, () => assert.deepEqual(wordsIn(source, 'strong'), [words]));
}

test('several bold words in one Chinese sentence are several', () => {
  assert.deepEqual(wordsIn('**甲：**一，**乙：**二，**丙**三', 'strong'), ['甲：', '乙：', '丙']);
});

test('what is no emphasis in other writing stays none', () => {
  for (const source of ['2 * 3 * 4', 'a_b_c', '** a **', 'foo.** bar**', '\\*a\\*']) assert.equal(kinds(source), 'text', source);
});

test('raw HTML is text, but for the line break', () => {
  assert.equal(read('<b onclick="x">a</b><img src=x onerror=y>')[0].text, '<b onclick="x">a</b><img src=x onerror=y>');
  assert.equal(kinds('a<br>b<br/>c<BR />d'), 'text break text break text break text');
  assert.equal(kinds('<br onclick=x>'), 'text');
  assert.deepEqual(typesOf('<div>\n**a**\n</div>'), ['paragraph']);
  assert.deepEqual(typesOf('<script>\nalert(1)\n</script>\n\n<!-- x -->'), ['paragraph', 'paragraph']);
});

test('entities are the characters they stand for, and no markup', () => {
  assert.equal(read('&lt;b&gt; &amp;amp; &#60; &#x4e2d; &nope; &#0; &mdash;')[0].text, '<b> &amp; < 中 &nope; \ufffd —');
  assert.equal(read('[a](javascript&#58;alert(1))')[0].href, 'javascript:alert(1)');
});

test('formulas are what they are between their marks, whatever is in them', () => {
  assert.deepEqual(wordsIn('\\(a_b*c*\\) and $$x_1 * y_2$$ and \\[z\\]', 'formula'), ['a_b*c*', 'x_1 * y_2', 'z']);
  assert.deepEqual(wordsIn('**bold \\(a*b\\) on**', 'strong').length, 1);
  assert.equal(kinds('$5 and $6'), 'text');
  assert.equal(kinds('`\\(a\\)` \\\\(b\\\\)'), 'code text');
  assert.equal(kinds('\\( never'), 'text');
  assert.equal(kinds('$$$$ \\(\\)'), 'text');
});

test('a formula in an address or in code is put back as it was written', () => {
  assert.equal(read('[a](https://a.example/$$x$$)')[0].href, 'https://a.example/$$x$$');
  assert.equal(read('[$$x$$](https://a.example)')[0].children[0].tex, 'x');
});

test('what is kept for formulas cannot be forged', () => {
  assert.equal(read('\ue0000\ue001 $$x$$').map(({ text, tex }) => text ?? tex).join(''), '\ufffd0\ufffd x');
});

test('a formula with lines of its own is a block, though its lines look like others', () => {
  for (const source of ['$$\na\n+ b\n= c\n$$', '\\[\n- a\n> b\n\\]', 'Text:\n\\[\nx\n\\]\nmore']) assert.ok(typesOf(source).includes('formula'), source);
  assert.deepEqual(typesOf('$$a$$ and more'), ['paragraph']);
  assert.deepEqual(typesOf('$$ never\n\nclosed $$'), ['paragraph', 'paragraph']);
});

test('a formula that is being written is one, but only at the end of what has come', () => {
  assert.deepEqual(typesOf('\\[\nx = 1', true), ['formula']);
  assert.deepEqual(typesOf('\\[\nx = 1', false), ['paragraph']);
  assert.deepEqual(typesOf('\\[\nx = 1\n\nnext', true), ['paragraph', 'paragraph']);
});

test('a definition is one if it has an address; a note and a footnote are kept', () => {
  for (const source of ['[Note]: important', '[^1]: Smith', '[1]: Smith', '[a\nb]: /x']) assert.deepEqual(typesOf(source), ['paragraph'], source);
  assert.deepEqual(typesOf('[a]: https://a.example "t"'), ['def']);
});

test('links refer to what was defined', () => {
  const lexer = createLexer();
  assert.equal(lexer.inline('[Some Words][]')[0].kind, 'text');
  lexer.blocks('[some words]: https://a.example');
  assert.deepEqual([lexer.inline('[Some Words][]')[0].href, Object.keys(lexer.links)], ['https://a.example', ['some words']]);
});

for (const [name, source] of Object.entries({ quotes: '> '.repeat(20_000), lists: '- '.repeat(20_000), numbers: '1. '.repeat(20_000), emphasis: '*a '.repeat(3_000) })) {
  test(`${name} nested without end are read without harm, and nothing of them is lost`, () => {
    const lexer = createLexer();
    const blocks = lexer.blocks(source);
    assert.equal(blocks.map(({ raw }) => raw).join('').length, source.length);
    assert.ok(lexer.inline(source).length > 0);
  });
}

test('one lexer reads one text after another', () => {
  const lexer = createLexer();
  lexer.inline('<a href="x">open <pre>');
  assert.equal(lexer.inline('https://a.example')[0].kind, 'link');
});

test('marks within marks without end are shown as they are from some depth on, and no stack overflows', () => {
  const depthOf = (spans) => 1 + Math.max(0, ...spans.map(({ children }) => (children ? depthOf(children) : 0)));
  const text = `${'*a '.repeat(200)}b${'*'.repeat(200)}`;
  const textOf = (list) => list.map((span) => span.text ?? textOf(span.children)).join('');
  const spans = createLexer().inline(text);
  assert.ok(depthOf(spans) > 20 && depthOf(spans) < 60, depthOf(spans));
  assert.equal(textOf(spans).replaceAll('*', ''), text.replaceAll('*', ''));
});

test('a quote that marked stumbles over is text, and all around it is read', () => {
  assert.deepEqual(typesOf('# a\n\n- b\n  > -\nc\n\n# d'), ['heading', 'list', 'heading']);
});
