/**
 * Emphasis beside Chinese, Japanese and Korean, which put no spaces between words: `**注意：**正文` is bold.
 * CommonMark asks for a space there; here a CJK character beside a mark counts as one. Pure; used by lexer.js, mend.js.
 */

const CJK = '\\p{sc=Han}\\p{sc=Hira}\\p{sc=Kana}\\p{sc=Hang}\\p{sc=Bopo}\\u3000-\\u303f\\uff00-\\uffef';
const PUNCT = '[\\p{P}\\p{S}]';
const PUNCT_NO_TILDE = `(?!~)${PUNCT}`; // `~~` may stand inside of `**`
const CJK_PUNCT = '(?=[\\p{P}\\p{S}])[\\u3000-\\u303f\\uff00-\\uffef]';
const WORD = '(?:[^\\s\\p{P}\\p{S}]|~)';
const SPACE_OR_PUNCT = '(?!~)[\\s\\p{P}\\p{S}]';

const ONE = new RegExp(`[${CJK}]`, 'u');

export const isCjk = (char) => ONE.test(char);
export const isPunctuation = (char) => /[\p{P}\p{S}]/u.test(char);

/** What may stand before an opening mark that punctuation follows; marked asks it with one character. */
export const BEFORE = new RegExp(`^((?![*_])[\\s\\p{P}\\p{S}${CJK}])`, 'u');

/**
 * Marked's own rule for what a run of `*` may be (its groups, by number: 1 and 2 close, 3 and 4 open, 5 and 6 both),
 * with one change: punctuation before the run lets it close, too, where it or what is behind the run is CJK.
 */
export const STARS = new RegExp([
  '^[^_*]*?__[^_*]*?\\*[^_*]*?(?=__)',
  '[^*]+(?=[^*])',
  `(?!\\*)${PUNCT_NO_TILDE}(\\*+)(?=[\\s]|$)`,
  `${WORD}(\\*+)(?!\\*)(?=${SPACE_OR_PUNCT}|$)`,
  `(?!\\*)(?!${PUNCT_NO_TILDE}\\*+[${CJK}]|${CJK_PUNCT})${SPACE_OR_PUNCT}(\\*+)(?=${WORD})`,
  `[\\s](\\*+)(?!\\*)(?=${PUNCT_NO_TILDE})`,
  `(?:(?!\\*)${PUNCT_NO_TILDE}(?=\\*+(?!\\*)(?:${PUNCT_NO_TILDE}|[${CJK}]))|${CJK_PUNCT})(\\*+)(?!\\*)(?=\\S)`,
  `${WORD}(\\*+)(?=${WORD})`,
].join('|'), 'gu');
