/**
 * Where a tab stands beside the one that leads, and what of that which is relayed is news to it. Pure: told what
 * happens, it tells what follows. Used by shared.js.
 *
 * A message is one event of the stream, `{prev, id, data}`: it leads from the place `prev` of the log to `id`.
 */

import { isAtOrAfter, isWithinOpening, meaning } from './places.js';

const KEPT = 5_000; // relayed events that are remembered while it catches up

export class Standing {
  #place; // the cursor: after all that was said to this tab
  #isWithin = false; // an opening, of which a part was said; then the cursor is still that from before it
  #leader = { place: '', isWithin: false };
  #kept = null; // while it catches up: what was relayed meanwhile

  constructor(place) {
    this.#place = place;
  }

  get place() { return this.#place; }
  get isCatchingUp() { return this.#kept !== null; }
  /** For those who ask the leader where it is. */
  get at() { return { place: this.#place, isWithin: this.#isWithin }; }

  /** This was said to the tab. */
  told(message) {
    this.#isWithin = isWithinOpening(message, this.#isWithin);
    this.#place = message.id;
  }

  /** The leader is `at` that place. */
  met(at) {
    this.#leader = at;
  }

  /** The leader was sent this; 'next': the tab is to be told it, 'old', 'unknown': it has to catch up, 'kept'. */
  heard(message) {
    this.#leader = { place: message.id, isWithin: isWithinOpening(message, this.#leader.isWithin) };
    if (!this.#kept) return meaning(message, this.#place);
    this.#kept.push(message);
    if (this.#kept.length > KEPT) this.#kept.shift();
    return 'kept';
  }

  /** Whether all that the leader was sent, and this tab was not, is still to be relayed. */
  get isAbreast() {
    const { place, isWithin } = this.#leader;
    return !isWithin && !this.#isWithin && isAtOrAfter(this.#place, place);
  }

  /** It reads on alone, from where it stands; `first`: what showed that it must. */
  beginsToCatchUp(first = []) {
    this.#kept = first;
  }

  /** What was kept and leads on from where it stands now; null while that can't be told. */
  rest() {
    if (this.#isWithin) return null;
    const from = this.#kept.findIndex(({ prev, id }) => prev === this.#place && id !== prev);
    if (from >= 0) return this.#kept.slice(from);
    return this.isAbreast ? [] : null;
  }

  caughtUp() {
    this.#kept = null;
  }
}
