/** Coloured code as highlight.js writes it, a string, as lines of {text, kind}. Pure; called by highlight.js. */

const CHARS = { '&amp;': '&', '&lt;': '<', '&gt;': '>', '&quot;': '"', '&#x27;': "'" };
const PIECES = /<span class="([^"]*)">|<\/span>|([^<]+)/g;

/** One list of parts for each line; the line break belongs to the line it ends. */
export function toLines(html) {
  const lines = [[]];
  const open = [];
  for (const [piece, kind, text] of html.matchAll(PIECES)) {
    if (kind !== undefined) open.push(kind);
    else if (text === undefined) open.pop();
    else spread(lines, unescaped(piece), open.join(' '));
  }
  if (!lines.at(-1).length) lines.pop();
  return lines;
}

function spread(lines, text, kind) {
  for (const part of text.split(/(?<=\n)/)) {
    lines.at(-1).push({ text: part, kind });
    if (part.endsWith('\n')) lines.push([]);
  }
}

const unescaped = (text) => text.replace(/&(?:amp|lt|gt|quot|#x27);/g, (entity) => CHARS[entity]);
