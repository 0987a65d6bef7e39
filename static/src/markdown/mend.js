/**
 * Running text whose end is still to come, as it will probably read: `**bo` is shown bold at once, `[label](htt` as
 * its label, a mark that has just begun not at all. So nothing that was shown has to be taken back when the closing
 * marks come. Pure; called by inline.js for the text that is being written, and for no other.
 */

import { isCjk, isPunctuation } from './cjk.js';

/** Ends of a text that may be half of something: an escape, a mark, an image, a `&name;`, an `<address>`. */
const HALF = /(?:\\|[*_~`]+|\$|!?\[|!|&(?:#?[a-zA-Z0-9]{0,8})?)$/;
const ADDRESS = /<((?:https?:\/\/|mailto:)[^\s<>]*)$/;
const HALF_TAG = /<([a-z:/ ]{0,7})$/;
const TAGS = ['https://', 'http://', 'mailto:', 'br>', 'br/>', 'br />']; // addresses, and the tag that is known
const LONGEST_LABEL = 100; // after so many characters a bracket is a bracket
const CLOSERS = { '\\(': '\\)', '\\[': '\\]', $$: '$$' };

/**
 * {text, open, safe}: the text as it is to be read; `open` is {raw, tex, isBlock} if it ends within a formula;
 * up to `safe` it reads the same whatever follows.
 */
export function mend(source) {
  const scan = new Scan(source);
  scan.run();
  return scan.result();
}

class Scan {
  #delimiters = []; // marks of emphasis that are open: {char, count, length, isBoth, isSure}
  #brackets = []; // [ and ![ that are open: {at, isImage, delimiters before them}
  #safe = 0;
  #isAddress = false;
  #cuts = []; // what is left out of the text: [from, to]
  #closing = ''; // what is put to its end
  #open = null;

  constructor(source) {
    this.source = source;
    this.end = source.length;
    this.at = 0;
  }

  run() {
    this.#dropHalf();
    while (this.at < this.end) this.at = this.#step(this.source[this.at]);
    this.#dropBrackets();
  }

  result() {
    let text = '';
    let done = 0;
    for (const [from, to] of this.#cuts.sort((a, b) => a[0] - b[0])) {
      if (from < done) continue;
      text += this.source.slice(done, from);
      done = to;
    }
    text += this.source.slice(done, Math.max(this.end, done));
    const closers = this.#delimiters.filter(({ isSure }) => isSure).map(({ char, count }) => char.repeat(count));
    if (closers.length && !this.#closing) text = text.trimEnd();
    return { text: text + this.#closing + closers.reverse().join(''), open: this.#open, safe: this.#safe };
  }

  #dropHalf() {
    const tail = this.source.slice(-400);
    const half = HALF.exec(tail);
    const isEscaped = half && isEscapedAt(tail, half.index);
    if (half && !isEscaped) this.end -= tail.length - half.index;
    const address = ADDRESS.exec(tail);
    const [whole, begun] = HALF_TAG.exec(tail) ?? [];
    const from = this.source.length - (address?.[0].length ?? 0);
    if (address) this.#cuts.push([from, from + 1]);
    else if (whole && TAGS.some((known) => known.startsWith(begun))) this.end -= whole.length;
  }

  /** Reads what stands at this.at; gives where to go on. */
  #step(char) {
    if (char === '\\') return this.#escape();
    if (char === '`') return this.#code();
    if (char === '$' && this.source[this.at + 1] === '$') return this.#formula('$$');
    if (char === '*' || char === '_' || char === '~') return this.#run(char);
    if (char === '[') return this.#bracket();
    if (char === ']') return this.#endOfLabel();
    this.#mayCut(/\s/.test(char));
    return this.at + 1;
  }

  /** Between two words outside of everything, and not within what breaks a line. Not all write spaces between words. */
  #mayCut(isGap) {
    const [before = '', char, after = ''] = [this.source[this.at - 1], this.source[this.at], this.source[this.at + 1]];
    if (isGap || char === '<') this.#isAddress = false;
    else if (char === '/' && after === '/' || this.source.startsWith('www.', this.at)) this.#isAddress = true;
    if (this.#delimiters.length || this.#brackets.length || this.#isAddress || this.at + 1 >= this.end) return;
    const isBetween = isGap ? char === ' ' && before.trim() && after.trim() : isCjk(char) && isCjk(after);
    if (isBetween) this.#safe = this.at + 1;
  }

  #escape() {
    const opener = this.source.slice(this.at, this.at + 2);
    return CLOSERS[opener] ? this.#formula(opener) : this.at + 2;
  }

  #formula(opener) {
    const end = this.source.indexOf(CLOSERS[opener], this.at + 2);
    if (end !== -1) {
      this.end = Math.max(this.end, end + 2); // half a closing mark was cut off that is a whole one
      return end + 2;
    }
    const raw = this.source.slice(this.at, Math.max(this.end, this.at + 2));
    this.#open = { raw, tex: raw.slice(2).trim(), isBlock: opener === '\\[' };
    return this.#stop(this.at);
  }

  #code() {
    const [run] = /^`+/.exec(this.source.slice(this.at));
    const closing = new RegExp(`(?<!\`)${run}(?!\`)`, 'g');
    closing.lastIndex = this.at + run.length;
    if (closing.test(this.source.slice(0, this.end))) return closing.lastIndex;
    if (this.at + run.length >= this.end) return this.#stop(this.at);
    this.#closing = run;
    return this.end;
  }

  #stop(at) {
    this.end = at;
    return at;
  }

  #run(char) {
    let to = this.at;
    while (this.source[to] === char && to < this.end) to += 1;
    const { canOpen, canClose, isSure } = this.#flanks(char, to);
    const length = to - this.at;
    const rest = canClose ? this.#close(char, length, canOpen) : length;
    const isMark = char !== '~' || rest <= 2;
    const open = { char, count: rest, length, isBoth: canClose, isSure: isSure(rest) };
    if (rest && canOpen && isMark) this.#delimiters.push(open);
    return to;
  }

  #flanks(char, to) {
    const before = lastOf(this.source, this.at);
    const after = to < this.end ? String.fromCodePoint(this.source.codePointAt(to)) : '';
    const [gapBefore, gapAfter] = [before, after].map((other) => !other.trim());
    // Marked sees `~` as a letter beside `*`, since `~~` may stand in bold text.
    const isPoint = (other) => isPunctuation(other) && !(char === '*' && other === '~');
    const [pointBefore, pointAfter] = [before, after].map(isPoint);
    const edgeBefore = gapBefore || isPunctuation(before) || isCjk(before);
    const edgeAfter = gapAfter || pointAfter || isCjk(after);
    const left = !gapAfter && (!pointAfter || edgeBefore);
    const right = !gapBefore && (!pointBefore || edgeAfter || isCjk(before));
    const isWord = char === '_';
    return {
      canOpen: left && (!isWord || !right || pointBefore),
      canClose: right && (!isWord || !left || pointAfter),
      // 2*3 and ~5 are rarely emphasis; `**` and `~~` always.
      isSure: (count) => count > 1 || (char !== '~' && edgeBefore),
    };
  }

  /** Closes what is open of this mark; gives how many characters of the run are left. */
  #close(char, count, isBoth) {
    const close = { length: count, isBoth };
    let left = count;
    while (left > 0) {
      const index = this.#delimiters.findLastIndex((open) => open.char === char && fit(open, close));
      if (index === -1 || (char === '~' && this.#delimiters[index].count !== left)) return left;
      const used = Math.min(left, this.#delimiters[index].count);
      left -= used;
      this.#delimiters.length = index + 1;
      this.#delimiters[index].count -= used;
      if (!this.#delimiters[index].count) this.#delimiters.pop();
    }
    return 0;
  }

  #bracket() {
    const isImage = this.source[this.at - 1] === '!' && !isEscapedAt(this.source, this.at - 1);
    this.#brackets.push({ at: this.at, isImage, delimiters: this.#delimiters.map((open) => ({ ...open })) });
    return this.at + 1;
  }

  #endOfLabel() {
    const opening = this.#brackets.pop();
    const next = this.at + 1 < this.end ? this.source[this.at + 1] : '';
    if (!opening) return this.at + 1;
    const closer = { '(': endOfAddress, '[': endOfReference }[next]?.(this.source, this.at + 2, this.end);
    if (closer !== undefined && closer !== -1) return this.#afterLink(opening, closer, next);
    const isDecided = next && !closer;
    return isDecided ? this.at + 1 : this.#unfinishedLink(opening);
  }

  /** Marks within the label of a link mean nothing outside; what refers to a name may be no link. */
  #afterLink({ delimiters }, closer, kind) {
    if (kind === '(') this.#delimiters = delimiters;
    return closer + 1;
  }

  #unfinishedLink({ at, isImage }) {
    this.#cuts.push(isImage ? [at - 1, this.source.length] : [at, at + 1]);
    return this.#stop(this.at);
  }

  #dropBrackets() {
    for (const { at, isImage } of this.#brackets) {
      if (this.end - at > LONGEST_LABEL) continue;
      this.#cuts.push(isImage ? [at - 1, this.source.length] : [at, at + 1]);
    }
  }
}

/** CommonMark's rule of three, which keeps `**a*b**` one. */
function fit(open, close) {
  const isOdd = (open.isBoth || close.isBoth) && (open.length + close.length) % 3 === 0;
  return open.char === '~' || !isOdd || (open.length % 3 === 0 && close.length % 3 === 0);
}

function lastOf(text, end) {
  return [...text.slice(Math.max(0, end - 2), end)].at(-1) ?? '';
}

function isEscapedAt(text, at) {
  let slashes = 0;
  while (text[at - 1 - slashes] === '\\') slashes += 1;
  return slashes % 2 === 1;
}

/** Where the `)` is that ends the address, -1 if it is still to come, undefined if there is none to come. */
function endOfAddress(text, from, end) {
  let depth = 0;
  for (let at = from; at < end; at += 1) {
    if (text[at] === '\\') at += 1;
    else if (text[at] === '(') depth += 1;
    else if (text[at] === ')' && depth === 0) return at;
    else if (text[at] === ')') depth -= 1;
    else if (text[at] === '\n' && text[at + 1] === '\n') return undefined;
  }
  return end - from > 2_000 ? undefined : -1;
}

function endOfReference(text, from, end) {
  const at = text.indexOf(']', from);
  if (at !== -1 && at < end) return at;
  return end - from > LONGEST_LABEL ? undefined : -1;
}
