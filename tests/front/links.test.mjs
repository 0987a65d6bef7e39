/** links.js: what may be followed, and all the ways in which what may not tries to look like it. */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { imageAt, isAddress, linkTo } from '../../static/src/markdown/links.js';

test('the addresses that may be followed are those of pages, mails and telephones', () => {
  assert.equal(linkTo('https://a.example/x?y=1').href, 'https://a.example/x?y=1');
  assert.equal(linkTo('HTTP://A.example').href, 'http://a.example/');
  assert.equal(linkTo('mailto:a@b.example').href, 'mailto:a@b.example');
  assert.equal(linkTo('tel:+49123').href, 'tel:+49123');
});

const REFUSED = [
  'javascript:alert(1)', 'JaVaScRiPt:alert(1)', ' javascript:alert(1)', 'java\tscript:alert(1)', 'java\nscript:alert(1)', '\u0001javascript:alert(1)',
  'javascript&#58;alert(1)', 'javascript&colon;alert(1)', 'vbscript:x', 'data:text/html,<script>alert(1)</script>', 'data:image/svg+xml,<svg/>', 'blob:https://a/b',
  'file:///etc/passwd', 'ftp://a.example', 'about:blank', 'view-source:https://a.example', 'chrome://settings', 'intent://x', 'ws://a.example',
  '//a.example/x', '/admin', 'admin', '../x', '?x=1', '', '\\\\a.example', 'https://good.example@evil.example/', 'https://user:pass@a.example/',
  'https://a.example/\u202ex', 'https://a\u200b.example', 'https://', 'http://[', '#a b', '##', '#part-2', '#/logout', '#!/logout',
];
for (const address of REFUSED) {
  test(`${JSON.stringify(address)} is no link`, () => assert.equal(linkTo(address), null));
}

test('only pages have images, and data: is none', () => {
  assert.deepEqual(imageAt('https://a.example:8080/i.png'), { href: 'https://a.example:8080/i.png', host: 'a.example:8080' });
  for (const address of ['data:image/png;base64,AA', 'blob:x', 'javascript:1', 'mailto:a@b', '/i.png', '//a/i.png', 'i.png']) assert.equal(imageAt(address), null);
});

test('a host in other letters is shown as it is asked', () => {
  assert.equal(imageAt('https://аpple.com/i.png').host, 'xn--pple-43d.com');
});

test('an address is told from a sentence', () => {
  for (const text of ['https://a.b', '<x y>', 'www.a.b', '/path', '#here', './x', 'a.example/x', 'a.example', 'mailto:x@y']) assert.ok(isAddress(text), text);
  for (const text of ['this', 'important', 'Smith', '', 'e.g.']) assert.ok(!isAddress(text), text);
});
