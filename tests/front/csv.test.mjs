/** csv.js: cells as a spreadsheet takes them, and runs none of them. */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { toCsv } from '../../static/src/markdown/csv.js';

test('a row is a line', () => assert.equal(toCsv([['a', 'b'], ['1', '中']]), 'a,b\r\n1,中\r\n'));

test('what would be taken for a border is quoted', () => {
  assert.equal(toCsv([['a,b', 'say "hi"', 'two\nlines', ' x']]), '"a,b","say ""hi""","two\nlines"," x"\r\n');
});

test('a formula is text, a number is a number', () => {
  assert.equal(toCsv([['=1+1', '@x', '+cmd', '-2.5', '+3', '-10%', '-']]), "'=1+1,'@x,'+cmd,-2.5,+3,-10%,'-\r\n");
});

test('no rows are nothing', () => assert.equal(toCsv([]), ''));
