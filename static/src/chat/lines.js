/**
 * Lines that the server pushed into the conversation: it keeps none that was read, so the browser does, each with its
 * place. Pure. Used by actions.js and chat.js.
 */

const MOST = 50;
const MOST_TEXT = 100_000; // characters of all together: the storage of a site is small, and drafts need it more

export const isLine = (turn) => turn.kind === 'line';

/** What is kept of `turns`: the last lines, [{key, text, after}]. `after`: the key of the question or answer before it. */
export function keptLines(turns) {
  let room = MOST_TEXT;
  const kept = turns.filter(isLine).slice(-MOST).reverse().filter(({ text }) => (room -= text.length) >= 0);
  return kept.reverse().map(({ key, text, after }) => ({ key, text, after }));
}

/** `turns` and those of `lines` that are not among them, each where it came; at the end where that place is gone. */
export function withLines(turns, lines) {
  const known = new Set(turns.map(({ key }) => key));
  return lines.filter((line) => isFit(line) && !known.has(line.key)).reduce(placed, turns);
}

function placed(turns, { key, text, after }) {
  let at = after ? turns.findIndex((turn) => turn.key === after) + 1 : 0;
  if (after && !at) at = turns.length;
  while (turns[at] && isLine(turns[at])) at += 1;
  return turns.toSpliced(at, 0, { kind: 'line', key, text, after });
}

/** Storage may hold anything: another version may have written it. */
const isFit = (line) => ['key', 'text', 'after'].every((name) => typeof line?.[name] === 'string');
