/**
 * When to come back, and whether at all: pure functions of a status, a header and a count.
 * Used by source.js and by pages that repeat their own GETs. Times are milliseconds.
 */

/** The bounds of a wait that nobody prescribed. */
export const BOUNDS = { min: 1_000, max: 30_000 };

/** The longest Retry-After or `retry:` that is obeyed: a slip of a server must not put a page to sleep for a day. */
export const LONGEST = 10 * 60_000;

// Too slow, too early, too many: the same request may be answered later. Other 4xx will not change.
const PASSING_4XX = new Set([408, 425, 429]);

/** What a status means for one who wants a stream: 'open', 'stop' (204: the server wants no more), 'retry', 'fatal'. */
export function verdict(status) {
  if (status === 200) return 'open';
  if (status === 204) return 'stop';
  return status >= 500 || PASSING_4XX.has(status) ? 'retry' : 'fatal';
}

/** The milliseconds a Retry-After asks for, given in seconds or as a date; 0 where there is none or it is past. */
export function retryAfter(header, now = Date.now()) {
  if (!header) return 0;
  const wait = /^\d+$/.test(header.trim()) ? Number(header) * 1_000 : Date.parse(header) - now;
  return Number.isNaN(wait) ? 0 : Math.min(Math.max(wait, 0), LONGEST);
}

/**
 * The wait before the next attempt.
 *
 * failures: attempts in a row that brought no event. asked: the server's `retry:` (null: none said); it has its
 * own jitter, so after a good connection it is taken as it is. atLeast: from Retry-After. Otherwise full jitter
 * under a bound that doubles, so that many pages do not come back to a restarted server in step.
 */
export function wait({ failures, asked = null, atLeast = 0, bounds = BOUNDS, random = Math.random }) {
  const floor = Math.min(Math.max(asked ?? 0, atLeast), LONGEST);
  if (failures === 0 && asked !== null) return floor;
  const bound = Math.min(bounds.max, Math.max(asked ?? 0, bounds.min) * 2 ** Math.min(failures, 16));
  return Math.max(floor, Math.round(random() * bound));
}
