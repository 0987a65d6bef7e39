/**
 * Marked's Lexer, and no other part of it, as this house reads Markdown: GFM, raw HTML as text, formulas, emphasis
 * beside CJK. Blocks and running text are read apart, so that only what changed is read again. Pure: text to tokens.
 */

import { Lexer, Tokenizer } from 'marked';

import { BEFORE, STARS } from './cjk.js';
import { takeOut } from './formulas.js';
import { isAddress } from './links.js';
import { asSpans } from './spans.js';

/** So many marks of quotes and lists in one line are an attack on the stack, not a text. */
const TOO_DEEP = /^(?:[ \t]*(?:>|(?:[-*+]|\d{1,9}[.)])[ \t])){40}/m;
const LONGEST_FORMULA = 4_000; // characters; looking further for its end, for each that begins, would be quadratic
const FORMULAS = { '$$': '$$', '\\[': '\\]' };

/** {blocks(source, isLive), inline(text), links}: `links` are the definitions met so far, by their names. */
export function createLexer() {
  const options = {
    gfm: true, tokenizer: new HouseTokenizer(),
    extensions: { block: [formulaBlock], startBlock: [beforeFormula], renderers: {}, childTokens: {} },
  };
  const lexer = new Lexer(options);
  const { rules } = lexer.tokenizer;
  lexer.tokenizer.rules = { ...rules, inline: { ...rules.inline, punctuation: BEFORE, emStrongRDelimAst: STARS } };
  lexer.options = options;

  return {
    links: lexer.tokens.links,

    /** Block tokens, the running text in them unread. `isLive`: more may follow, what is open at the end stays open. */
    blocks(source, isLive = false) {
      lexer.isLive = isLive;
      Object.assign(lexer.state, { inLink: false, inRawBlock: false, top: true, lastToken: undefined });
      const read = () => lexer.blockTokens(source, []);
      const tokens = TOO_DEEP.test(source) ? plain(source) : guarded(read, plain(source));
      lexer.inlineQueue = [];
      return tokens;
    },

    /** Running text as spans, see spans.js. */
    inline(source) {
      const { text, formulas } = takeOut(source);
      Object.assign(lexer.state, { inLink: false, inRawBlock: false, linkEmitted: false });
      return asSpans(guarded(() => lexer.inlineTokens(text), [{ type: 'text', raw: text, text }]), formulas);
    },
  };
}

/** A text that the reader chokes on is shown as it is: nothing is lost. */
function guarded(read, instead) {
  try {
    return read();
  } catch {
    return instead;
  }
}

const plain = (source) => [{ type: 'plain', raw: source, text: source }];

class HouseTokenizer extends Tokenizer {
  html() {} // no block of its own: the text in it is read as any other

  blockquote(source) { return nested(this.lexer, () => super.blockquote(source)); }

  /** With the spaces at its end: marked leaves out those of all kinds, and a no-break space would be a paragraph. */
  list(source) {
    const token = nested(this.lexer, () => super.list(source));
    const rest = token ? source.slice(token.raw.length) : '';
    return token && { ...token, raw: token.raw + (/\S/.test(rest) ? /^[^\S\n]*/.exec(rest)[0] : rest) };
  }

  /** An underline makes a heading of the lines above it, but not of a formula. */
  lheading(source) {
    const token = super.lheading(source);
    return token && beforeFormula(token.raw) === undefined ? token : undefined;
  }

  tag(source) {
    const [raw] = (source[0] === '<' && this.rules.inline.tag.exec(source)) || [];
    return raw && { type: 'html', raw, text: raw };
  }

  /** As it was written: `&name;` and its like are seen to by spans.js. */
  inlineText(source) {
    const [raw] = this.rules.inline.text.exec(source) ?? [];
    return raw && { type: 'text', raw, text: raw };
  }

  /** Footnotes and sentences that look like the definition of a link stay what they are. */
  def(source) {
    const token = super.def(source);
    return token && /^ {0,3}\[[^^\n][^\n]*\]:/.test(token.raw) && isAddress(token.href) ? token : undefined;
  }
}

/** Of what is nested only the whole knows whether more may follow. */
function nested(lexer, read) {
  const { isLive, state: { top } } = lexer;
  lexer.isLive = false;
  try {
    return read();
  } catch (error) {
    if (error instanceof RangeError) throw error; // the stack
    lexer.state.top = top;
    return undefined; // marked stumbles over "- a\n  > -\nb": then that quote alone is text
  } finally {
    lexer.isLive = isLive;
  }
}

/** A formula with lines of its own; no blank line in it. Called by marked, `this.lexer` is the one made above. */
function formulaBlock(all) {
  const source = all.slice(0, LONGEST_FORMULA);
  const [start, opener] = /^ {0,3}(\$\$|\\\[)/.exec(source) ?? [];
  if (!opener) return undefined;
  const end = source.indexOf(FORMULAS[opener], start.length);
  const isOpen = end === -1;
  // At the end of what has come so far the rest may be on its way.
  if (isOpen && !(this.lexer.isLive && source.length === all.length)) return undefined;
  if (/\n[ \t]*\n/.test(isOpen ? source : source.slice(0, end))) return undefined;
  if (!isOpen) return closedFormula(all, start, end);
  return { type: 'formula', raw: source, tex: source.slice(start.length).replace(/[$\\]$/, '').trim(), isOpen };
}

function closedFormula(source, start, end) {
  const tex = source.slice(start.length, end).trim();
  const [rest] = /^[ \t]*(?=\n|$)/.exec(source.slice(end + 2)) ?? [];
  if (!tex || rest === undefined) return undefined;
  return { type: 'formula', raw: source.slice(0, end + 2 + rest.length), tex, isOpen: false };
}

function beforeFormula(source) {
  return /\n {0,3}(?:\$\$|\\\[)/.exec(source)?.index;
}
