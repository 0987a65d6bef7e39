/** What a page may say about the widget: every value that is right is taken, every other named and left out. */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { readOptions } from '../../static/src/widget/options.js';

const value = (name, text) => readOptions({ [name]: text }).options[name];
const complaint = (name, text) => readOptions({ [name]: text }).complaints.join(' ');

test('without a word everything is as usual and nothing is complained about', () => {
  const { options, complaints } = readOptions({});
  assert.deepEqual([options.theme, options.position, options.open, options.starters], ['auto', 'right', false, []]);
  assert.deepEqual(complaints, []);
});

test('what is right is taken as it is meant', () => {
  for (const [name, text, meant] of [
    ['theme', 'dark', 'dark'], ['theme', ' light ', 'light'], ['position', 'left', 'left'], ['color', '#0F6f6c', [15, 111, 108]],
    ['color', '#abc', [170, 187, 204]], ['open', '', true], ['open', 'false', false], ['lang', 'ZH-cn', 'zh-CN'], ['lang', '', ''],
    ['starters', 'a | b||c', ['a', 'b', 'c']], ['get-token', 'app.auth.$token', 'app.auth.$token'], ['texts', '/fr.json', '/fr.json'],
    ['name', '帮助', '帮助'],
  ]) {
    assert.deepEqual(value(name, text), meant, `${name}=${text}`);
    assert.equal(complaint(name, text), '', `${name}=${text}`);
  }
});

test('what is wrong is named, with what would be right, and the usual is used', () => {
  const usual = readOptions({}).options;
  for (const [name, text] of [
    ['theme', 'Dark'], ['theme', ''], ['color', 'red'], ['color', '#12345'], ['color', '#0f6f6c;x:y'], ['position', 'bottom'],
    ['open', 'maybe'], ['lang', '<b>'], ['lang', 'a'], ['starters', 'x'.repeat(201)], ['get-token', 'f()'], ['get-token', 'a..b'],
    ['texts', 'javascript:1'], ['texts', 'data:x'], ['name', 'x'.repeat(61)],
  ]) {
    assert.deepEqual(value(name, text), usual[name], `${name}=${text}`);
    assert.match(complaint(name, text), new RegExp(`^${name}=.* It is left out\\.$`), `${name}=${text}`);
  }
});

test('a complaint is short, however long the value is', () => {
  assert.ok(complaint('theme', 'x'.repeat(1_000_000)).length < 200);
  assert.ok(complaint('x'.repeat(1_000_000), '').length < 300);
});

test('an option that there is not is named with the one that may be meant', () => {
  assert.match(complaint('colour', '#fff'), /Did you mean "color"\?/);
  assert.match(complaint('gettoken', 'f'), /Did you mean "get-token"\?/);
  assert.match(complaint('frobnicate', ''), /There are hub, lang,/);
});

test('what belongs to the element or to others is nobody\'s mistake', () => {
  for (const name of ['class', 'id', 'style', 'data-v-1', 'aria-label', 'floating', 'manual']) assert.equal(complaint(name, 'x'), '');
});
