/**
 * A Markdown text that grows, as blocks. What can no longer change is settled and never read again; the last block is
 * read anew with each piece, and of lists, tables and code only its last item, row, line. So the cost of a piece does
 * not grow with the text. Pure: pieces in, block tokens out. Called by document.js, which draws them.
 *
 * read() gives {tokens, settled}: what stands from the first unsettled block on, and how many of those are settled now.
 * Each is a token of marked with `at` and `until`, its place in the text, and
 *     list, table: `from`, the number of items or rows that stand already; `items`, `rows` are those after them
 *     code that is open: `more`, the text to add; `isClosed`
 */

import { decidedLength } from './decided.js';

const LONGEST_PARAGRAPH = 8_192; // characters; what is longer is cut, or drawing it would take ever longer
const GAPS = new Set(['space', 'def']);

export class BlockStream {
  #lexer;
  #rest = ''; // what is not settled
  #base = 0; // where it begins in the text
  #restBefore = 0;
  #growing = null; // the block that #rest continues, see #settleWithin
  #paragraph = null; // {visible, token}: what was read the last time, if it was one paragraph
  #isEnded = false;

  constructor(lexer) {
    this.#lexer = lexer;
  }

  feed(text) {
    this.#rest += text;
  }

  end() {
    this.#isEnded = true;
  }

  read() {
    const tokens = [];
    if (this.#growing?.type === 'code') {
      tokens.push(this.#readCode());
      if (!tokens[0].isClosed) return { tokens, settled: 0 };
    }
    let settled = this.#readBlocks(tokens);
    while (settled === tokens.length && settled && this.#rest && this.#rest.length < this.#restBefore) {
      settled = this.#readBlocks(tokens);
    }
    if (this.#isEnded) this.#rest = '';
    return { tokens, settled: this.#isEnded ? tokens.length : settled };
  }

  /** Reads what is decided, adds it to `tokens`, settles what is before its last block; gives how many are settled. */
  #readBlocks(tokens) {
    this.#restBefore = this.#rest.length;
    const visible = this.#visible();
    const blocks = this.#sameParagraph(visible) ?? this.#lexed(visible);
    tokens.push(...blocks);
    this.#paragraph = blocks.length === 1 && blocks[0].type === 'paragraph' ? { visible, token: blocks[0] } : null;
    return this.#settle(tokens, blocks.length);
  }

  #lexed(visible) {
    const { head = '', type } = this.#growing ?? {};
    const found = placed(this.#lexer.blocks(head + visible, !this.#isEnded), head + visible);
    const blocks = found.filter((token) => !GAPS.has(token.type));
    for (const block of blocks) {
      block.at += this.#base - head.length;
      block.until += this.#base - head.length;
    }
    if (!type || !blocks.length) return blocks;
    return blocks[0].type === type ? [this.#continued(blocks[0]), ...blocks.slice(1)] : [this.#continued(), ...blocks];
  }

  /** The paragraph of the last time if its last line has only become longer: most pieces of an answer are such. */
  #sameParagraph(visible) {
    const { visible: before, token } = this.#paragraph ?? {};
    if (!token || this.#growing || before.endsWith('\n') || !visible.startsWith(before)) return null;
    const more = visible.slice(before.length);
    if (more.includes('\n')) return null;
    return [{ ...token, raw: token.raw + more, text: token.text + more, until: token.until + more.length }];
  }

  #visible() {
    if (this.#isEnded) return this.#rest;
    return this.#rest.slice(0, decidedLength(this.#rest, { inTable: this.#growing?.type === 'table' }));
  }

  /** The first block of #rest is the end of one that stands already, or nothing is left of that. */
  #continued(block = { items: [], rows: [], at: this.#base, until: this.#base }) {
    const { type, from, isLoose, at } = this.#growing;
    return { ...block, type, from, loose: block.loose || isLoose, began: at };
  }

  #settle(tokens, count) {
    const last = tokens.at(-1);
    if (!count) return tokens.length;
    const isShort = !(tokens.at(-2)?.raw?.length > LONGEST_PARAGRAPH);
    const open = last.type === 'formula' && count > 1 && isShort ? 2 : 1; // it may be none, and belong to what is above
    if (count > open) this.#cut(tokens.at(-open - 1).until);
    if (open > 1) return tokens.length - open;
    if (isOpenFence(last)) return this.#openCode(tokens);
    if (last.type === 'code' && !last.codeBlockStyle) return this.#settleAll(tokens);
    if (last.type === 'paragraph' && last.raw.length > LONGEST_PARAGRAPH) return this.#cutParagraph(tokens);
    this.#settleWithin(last);
    return tokens.length - 1;
  }

  #settleAll(tokens) {
    this.#cut(tokens.at(-1).until);
    return tokens.length;
  }

  #cut(at) {
    this.#paragraph = null;
    this.#rest = this.#rest.slice(at - this.#base);
    this.#base = at;
    this.#growing = null;
  }

  /** Items of a list before its last, rows of a table before its last: they stand, and need not be read again. */
  #settleWithin(token) {
    const began = token.began ?? token.at;
    if (token.type === 'list' && token.items.length > 1) {
      const passed = token.items.slice(0, -1);
      const isLoose = token.loose || /\n[ \t]*\n[ \t]*$/.test(passed.at(-1).raw);
      const from = (token.from ?? 0) + passed.length;
      this.#cut(token.at + lengthOf(passed));
      this.#growing = { type: 'list', from, isLoose, at: began };
    }
    if (token.type === 'table' && token.rows.length > 0) {
      const head = this.#growing?.head ?? headOf(token.raw);
      const start = Math.max(head.length, token.raw.replace(/[ \t\n]+$/, '').lastIndexOf('\n') + 1);
      const from = (token.from ?? 0) + token.rows.length - 1;
      this.#cut(token.at + start);
      this.#growing = { type: 'table', head, from, at: began };
    }
  }

  #cutParagraph(tokens) {
    const token = tokens.pop();
    const gap = token.raw.lastIndexOf(' ', LONGEST_PARAGRAPH);
    let length = gap > LONGEST_PARAGRAPH / 2 ? gap + 1 : LONGEST_PARAGRAPH;
    if (/[\ud800-\udbff]/.test(token.raw[length - 1])) length -= 1;
    const raw = token.raw.slice(0, length);
    tokens.push({ ...token, raw, text: raw, until: token.at + length });
    return this.#settleAll(tokens);
  }

  /** A code block has begun: from here on its lines are only looked at for its end. */
  #openCode(tokens) {
    const token = tokens.pop();
    const [whole, indent, fence] = /^( {0,3})(`{3,}|~{3,})[^\n]*(?:\n|$)/.exec(token.raw);
    this.#cut(token.at + whole.length);
    const { lang, at } = token;
    this.#growing = { type: 'code', lang, at, indent: indent.length, fence, isWithinLine: false };
    tokens.push(this.#readCode());
    return tokens.length - 1;
  }

  #readCode() {
    const code = this.#growing;
    let more = '';
    let at = 0;
    let isClosed = false;
    while (at < this.#rest.length && !isClosed) {
      const end = this.#rest.indexOf('\n', at) + 1 || this.#rest.length;
      const line = this.#rest.slice(at, end);
      const isWhole = line.endsWith('\n') || this.#isEnded;
      if (!isWhole && !code.isWithinLine && mayClose(line, code)) break;
      isClosed = isWhole && !code.isWithinLine && closes(line, code);
      if (!isClosed) more += code.isWithinLine ? line : dedented(line, code.indent);
      code.isWithinLine = !line.endsWith('\n');
      at = end;
    }
    this.#rest = this.#rest.slice(at);
    this.#base += at;
    if (isClosed) this.#growing = null;
    const { lang } = code;
    return { type: 'code', lang, more, isClosed: isClosed || this.#isEnded, at: code.at, until: this.#base };
  }
}

/** The tokens with their places; from where a token is not found in the text no place is known, and nothing settles. */
function placed(tokens, text) {
  let at = 0;
  for (const token of tokens) {
    const isThere = text.startsWith(token.raw, at);
    if (!isThere) at = text.length - token.raw.length;
    token.at = at;
    at += token.raw.length;
    token.until = at;
  }
  return tokens;
}

const lengthOf = (items) => items.reduce((sum, { raw }) => sum + raw.length, 0);
const headOf = (raw) => /^[^\n]*\n[^\n]*\n/.exec(raw)[0];

/** The text of a fence that has no end yet. One in a list or a quote is read again as a whole. */
function isOpenFence({ type, raw, codeBlockStyle }) {
  if (type !== 'code' || codeBlockStyle) return false;
  const [, fence] = /^ {0,3}(`{3,}|~{3,})/.exec(raw);
  const lines = raw.trimEnd().split('\n');
  return lines.length < 2 || !closes(lines.at(-1), { fence });
}

function closes(line, { fence }) {
  const [, run] = /^ {0,3}(`+|~+)[ \t]*\n?$/.exec(line) ?? [];
  return run !== undefined && run[0] === fence[0] && run.length >= fence.length;
}

const mayClose = (line, { fence }) => new RegExp(`^ {0,3}\\${fence[0]}*[ \\t]*$`).test(line);
const dedented = (line, indent) => (indent ? line.replace(new RegExp(`^ {0,${indent}}`), '') : line);
