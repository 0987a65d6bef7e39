/**
 * Marked's inline tokens as spans, the few shapes that are shown. Pure; called by lexer.js, drawn by inline.js.
 *
 * text {text}, code {text}, break {}, strong / em / del {children}, link {href, title, children},
 * image {href, title, text}, formula {tex, isBlock, isOpen}; each with `kind`, and `raw`, the Markdown it came from.
 */

import { decode } from './entities.js';
import { HELD, putBack } from './formulas.js';

const DEEPEST = 40; // marks within each other; what is deeper is shown as it was written, and no stack overflows

const MAKERS = {
  text: ({ raw }, formulas) => textAndFormulas(raw, formulas),
  escape: ({ raw, text }) => [{ kind: 'text', raw, text }],
  // The one piece of HTML that models rely on, since a cell of a table has no other way to break a line.
  html: ({ raw }, formulas) => [/^<br\s*\/?>$/i.test(raw) ? { kind: 'break', raw } : asText(raw, formulas)],
  br: ({ raw }) => [{ kind: 'break', raw }],
  codespan: ({ raw, text }, formulas) => [{ kind: 'code', raw, text: putBack(text, formulas) }],
  strong: nested('strong'),
  em: nested('em'),
  del: nested('del'),
  link: ({ raw, href, title, tokens }, formulas, depth) => [{
    kind: 'link', raw, href: decode(putBack(href, formulas)), title: decode(putBack(title ?? '', formulas)),
    children: asSpans(tokens, formulas, depth + 1),
  }],
  image: ({ raw, href, title, text }, formulas) => [{
    kind: 'image', raw, href: decode(putBack(href, formulas)), title: decode(putBack(title ?? '', formulas)),
    text: decode(putBack(text, formulas)),
  }],
};

export function asSpans(tokens, formulas = [], depth = 0) {
  const make = ({ type }) => (depth > DEEPEST ? null : MAKERS[type]);
  const spans = tokens.flatMap((token) => make(token)?.(token, formulas, depth) ?? [asText(token.raw, formulas)]);
  return joined(spans);
}

/** Neighbouring texts as one, so that a text that grows is one node that grows. */
function joined(spans) {
  const result = [];
  for (const span of spans) {
    const last = result.at(-1);
    if (span.kind === 'text' && last?.kind === 'text') {
      result[result.length - 1] = { kind: 'text', raw: last.raw + span.raw, text: last.text + span.text };
    } else result.push(span);
  }
  return result;
}

function nested(kind) {
  return ({ raw, tokens }, formulas, depth) => [{ kind, raw, children: asSpans(tokens, formulas, depth + 1) }];
}

const asText = (raw, formulas) => ({ kind: 'text', raw, text: putBack(raw, formulas) });

function textAndFormulas(raw, formulas) {
  if (!formulas.length) return [{ kind: 'text', raw, text: decode(raw) }];
  // split() by a pattern with a group gives text and group in turns.
  return raw.split(HELD).flatMap((part, index) => {
    if (index % 2 === 0) return part ? [{ kind: 'text', raw: part, text: decode(part) }] : [];
    const { tex, isBlock, raw: written } = formulas[part];
    return [{ kind: 'formula', raw: written, tex, isBlock, isOpen: false }];
  });
}
