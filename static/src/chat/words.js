/**
 * The words of the chat in the reader's language: which one it is, where its texts come from, how they are filled in.
 * Touches `Intl`, and the network where texts are given by address; a language other than English is loaded when needed.
 */

import en from './words/en.js';

const BUILT_IN = { en: async () => en, 'zh-CN': async () => (await import('./words/zh-CN.js')).default };
const FROM_THE_RIGHT = new Set(['ar', 'ckb', 'dv', 'fa', 'he', 'ps', 'sd', 'ug', 'ur', 'yi']);

const primary = (tag) => String(tag).toLowerCase().split(/[-_]/)[0];

/** The first language in the reader's order that there is; English where there is none. */
export function pickLanguage(languages = []) {
  const known = { zh: 'zh-CN', en: 'en' };
  return known[languages.map(primary).find((name) => Object.hasOwn(known, name))] ?? 'en';
}

/** The direction in which a language is written. */
const directionOf = (language) => (FROM_THE_RIGHT.has(primary(language)) ? 'rtl' : 'ltr');

/**
 * The words of `language`, which is built in unless `texts` are given: an object like words/en.js, in which texts may
 * be missing: those are English then.
 */
export async function loadWords(language, texts = null) {
  if (texts) return createWords(language, { ...en, ...onlyTexts(texts) });
  const found = pickLanguage([language]);
  return createWords(found, await BUILT_IN[found]());
}

/** Keys that there are, in the forms of number that a language has. */
const isKey = (key) => Object.hasOwn(en, key.replace(/\.(zero|two|few|many)$/, '.other'));

/** What JSON from elsewhere may bring: texts for keys that there are. */
function onlyTexts(texts) {
  return Object.fromEntries(Object.entries(texts).filter(([key, text]) => isKey(key) && typeof text === 'string'));
}

/** As `Intl` takes it: pages also write fr_FR, or something else. */
function canonical(tag) {
  try {
    return Intl.getCanonicalLocales(String(tag).replaceAll('_', '-'))[0] ?? 'en';
  } catch {
    return 'en';
  }
}

/** t(key, places) in that language; `has(key)`, `plural(key, n)`, `number(n, digits)` and `seconds(ms, digits)` beside it. */
function createWords(tag, texts) {
  const language = canonical(tag);
  const t = (key, places = {}) => texts[key].replace(/\{(\w+)\}/g, (_, name) => String(places[name] ?? ''));
  t.language = language;
  t.direction = directionOf(language);
  t.has = (key) => Object.hasOwn(texts, key);
  t.plural = (key, n) => {
    const form = `${key}.${new Intl.PluralRules(language).select(n)}`;
    return t(t.has(form) ? form : `${key}.other`, { n: t.number(n) });
  };
  t.number = (n, digits = 0) => new Intl.NumberFormat(language, { maximumFractionDigits: digits }).format(n);
  t.seconds = (ms, digits = 0) => t('figures.seconds', { n: t.number(ms / 1_000, digits) });
  return t;
}
