/** What a reader has not seen yet, of answers, messages and notices. Pure. Used by the widget's panel. */

import { isOver } from './state.js';

/** The mark of what is there now: all of it has been seen. */
export function seen({ turns, notices }) {
  return { turn: last(turns.filter(counts)), notice: last(notices) };
}

/** How many came since that mark; null where there is none, and all is taken for seen. */
export function unread({ turns, notices, loading }, mark) {
  if (loading || !mark) return 0;
  return since(turns.filter(counts), mark.turn) + since(notices, mark.notice);
}

const counts = (turn) => turn.kind === 'line' || (turn.kind === 'answer' && isOver(turn));

const last = (list) => list.at(-1)?.key ?? '';

/** A mark that is not in the list any more was of another conversation, or of a page that is gone. */
function since(list, key) {
  const at = list.findIndex((one) => one.key === key);
  return list.length - 1 - (key && at < 0 ? list.length - 1 : at);
}
