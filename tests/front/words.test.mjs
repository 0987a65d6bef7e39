/** Texts with numbers in them, in the forms that a language has for numbers; texts that a site brings. */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { loadWords } from '../../static/src/chat/words.js';

test('a number of things has the form of its number', async () => {
  const [en, zh] = [await loadWords('en'), await loadWords('zh-CN')];
  assert.equal(en.plural('link.back', 1), 'Connected again · 1 message caught up');
  assert.equal(en.plural('link.back', 2_000), 'Connected again · 2,000 messages caught up');
  assert.equal(zh.plural('link.back', 1), '已重新连接，补上了 1 条消息');
});

test('a language of more forms brings them, and English stands in for those it leaves out', async () => {
  const t = await loadWords('pl', { 'link.back.few': '{n} wiadomości', 'link.back.other': '{n} wiadomosci', 'no.few': 'x' });
  assert.deepEqual([2, 22].map((n) => t.plural('link.back', n)), ['2 wiadomości', '22 wiadomości']);
  assert.equal(t.plural('link.back', 5), '5 wiadomosci');
  assert.equal(t.plural('link.back', 1), 'Connected again · 1 message caught up');
  assert.equal(t.has('no.few'), false);
});

test('of what a site brings only texts count, and only for what there is', async () => {
  const t = await loadWords('fr', { 'ask.stop': 'Arrêter', 'nonsense': 'x', 'ask.send': 7 });
  assert.deepEqual([t('ask.stop'), t.has('nonsense'), t('ask.send')], ['Arrêter', false, 'Send']);
});

test('a tag that Intl does not know as it is written still has a language', async () => {
  const texts = { 'ask.send': 'Envoyer' };
  for (const [tag, language] of [['fr_FR', 'fr-FR'], ['x y', 'en'], ['', 'en'], ['ZH_cn', 'zh-CN']]) {
    const t = await loadWords(tag, texts);
    assert.deepEqual([t.language, typeof t.seconds(1_500, 1)], [language, 'string']);
  }
  assert.equal((await loadWords('zh_CN')).language, 'zh-CN');
});
