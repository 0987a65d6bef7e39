/**
 * Formulas in running text: `\(x\)`, `\[x\]` and `$$x$$`. A single `$` is money. They are taken out before the text
 * is read as Markdown, which would see emphasis in `a_b_c`, and put back by spans.js. Pure; called by lexer.js.
 */

const OPEN = '\ue000';
const CLOSE = '\ue001';
const CLOSERS = { '\\(': '\\)', '\\[': '\\]', $$: '$$' };
const MARKS = /`+|\\[^]|\$\$/g;

export const HELD = new RegExp(`${OPEN}(\\d+)${CLOSE}`);

/** {text, formulas}: `text` with a mark in the place of each of `formulas`, {tex, isBlock, raw}. */
export function takeOut(source) {
  const clean = source.replace(/[\ue000\ue001]/g, '\ufffd');
  const formulas = [];
  if (!/\$\$|\\[([]/.test(clean)) return { text: clean, formulas };
  let text = '';
  let done = 0;
  for (const { from, to, opener } of spansOf(clean)) {
    const raw = clean.slice(from, to);
    text += `${clean.slice(done, from)}${OPEN}${formulas.length}${CLOSE}`;
    formulas.push({ tex: raw.slice(2, -2).trim(), isBlock: opener === '\\[', raw });
    done = to;
  }
  return { text: text + clean.slice(done), formulas };
}

/** `text` with the formulas as they were written. */
export function putBack(text, formulas) {
  return formulas.length ? text.replace(new RegExp(HELD, 'g'), (_, index) => formulas[index]?.raw ?? '') : text;
}

/** Each formula as {from, to, opener}; code and escaped characters are passed over. */
function* spansOf(text) {
  const missing = new Set(); // closers that were looked for in vain: looking again each time would be quadratic
  MARKS.lastIndex = 0;
  for (let mark = MARKS.exec(text); mark; mark = MARKS.exec(text)) {
    const [opener] = mark;
    const closer = opener[0] === '`' ? opener : CLOSERS[opener];
    if (!closer || missing.has(closer)) continue;
    const end = opener[0] === '`' ? endOfCode(text, mark.index, opener) : endOf(text, mark.index, closer);
    if (end === -1) missing.add(closer);
    else {
      MARKS.lastIndex = end;
      if (opener[0] !== '`' && text.slice(mark.index + 2, end - 2).trim()) yield { from: mark.index, to: end, opener };
    }
  }
}

function endOf(text, from, closer) {
  const at = text.indexOf(closer, from + 2);
  return at === -1 ? -1 : at + closer.length;
}

function endOfCode(text, from, run) {
  const closing = new RegExp(`(?<!\`)${run}(?!\`)`, 'g');
  closing.lastIndex = from + run.length;
  return closing.test(text) ? closing.lastIndex : -1;
}
