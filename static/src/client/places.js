/**
 * Where readers of one log stand to each other, told by their cursors. Pure. Used by shared.js.
 *
 * A cursor says nothing but which place it is, so only equal ones tell for certain. Those of one epoch,
 * `epoch.n` with perhaps more behind, are also known to be in order; others are never taken to be.
 */

const NUMBERED = /^([^.]+)\.(\d+)(?:\.|$)/;
// Adjacent ones may come merged, so a reader may stand within one; every other event is whole.
const MERGEABLE = '"type":"delta"';
// The first event of each connection; a reader that comes back is told by it where it is, and nothing new.
const GREETING = '{"type":"connected"';

/** Whether the place `a` is `b` or known to be behind it. */
export function isAtOrAfter(a, b) {
  if (a === b) return true;
  const [, epochA, a1] = NUMBERED.exec(a) ?? [];
  const [, epochB, b1] = NUMBERED.exec(b) ?? [];
  return epochA !== undefined && epochA === epochB && Number(a1) >= Number(b1);
}

/**
 * Whether the reader of an event, `{prev, id, data}`, is then within an opening: what a stream begins with where its
 * cursor can't be honoured or there is none. Only the last event of it has an id; was: whether it was before.
 */
export function isWithinOpening({ prev, id, data }, was) {
  if (id !== prev) return false;
  if (!data.startsWith(GREETING)) return true;
  return was && !data.includes('"resumed":true');
}

/**
 * What a relayed event, `{prev, id, data}`: one that leads from the place `prev` to `id`, is to a reader at `place`:
 * 'next'; 'old': it has it; 'unknown': what lies between, or whether anything does, can't be told.
 */
export function meaning({ prev, id, data }, place) {
  if (prev === place) return 'next';
  if (isAtOrAfter(place, id)) return 'old';
  return isAtOrAfter(place, prev) && !data.includes(MERGEABLE) ? 'next' : 'unknown';
}
