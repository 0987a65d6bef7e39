/** spread.js: what highlight.js writes, line by line; no character is lost on the way. */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { colour, knows } from '../../static/src/markdown/highlight.js';
import { toLines } from '../../static/src/markdown/spread.js';

test('a span over several lines colours each of them', () => {
  assert.deepEqual(toLines('<span class="hljs-comment">/* a\nb */</span> c'), [
    [{ text: '/* a\n', kind: 'hljs-comment' }], [{ text: 'b */', kind: 'hljs-comment' }, { text: ' c', kind: '' }],
  ]);
});

test('spans in spans have the classes of both', () => {
  const [[outer, inner]] = toLines('<span class="hljs-string">a<span class="hljs-subst">b</span></span>');
  assert.deepEqual([outer.kind, inner.kind], ['hljs-string', 'hljs-string hljs-subst']);
});

test('escaped characters are characters', () => {
  assert.equal(toLines('&lt;b&gt; &amp;amp; &quot;&#x27;')[0][0].text, '<b> &amp; "\'');
});

const CODE = {
  python: 'def f(a: int) -> str:\n    """Doc <b> & "x"."""\n    return f"{a}"  # end\n\n\n', javascript: 'const a = `x${1 < 2 ? "&" : \'<\'}`;\n// end', html: '<p class="a">&amp; <b>x</b></p>\n<!-- c -->\n',
  bash: 'echo "$HOME" | grep -v x > /dev/null\n', json: '{"a": [1, null, "</span>"]}', sql: "SELECT * FROM t WHERE a <> 'b';", yaml: 'a: 1\nb:\n  - "c"\n', diff: '+ a\n- b\n',
};
for (const [language, code] of Object.entries(CODE)) {
  test(`coloured ${language} has every character of what is not`, () => {
    const lines = colour(code, language);
    assert.equal(lines.flat().map(({ text }) => text).join(''), code);
    assert.deepEqual(lines.map((line) => line.map(({ text }) => text).join('')), code.match(/[^\n]*\n|[^\n]+$/g));
    assert.ok(lines.flat().some(({ kind }) => kind));
  });
}

test('languages have the names that models give them', () => {
  for (const name of ['py', 'js', 'ts', 'tsx', 'sh', 'shell', 'zsh', 'c++', 'golang', 'rs', 'yml', 'xml', 'html', 'jsonc', 'patch', 'c']) assert.ok(knows(name), name);
  assert.ok(!knows('no-such-language'));
});
