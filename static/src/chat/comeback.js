/**
 * That the line stands again after a trouble the reader was told of, and how many messages were caught up. Pure: the
 * time is handed in. Used by view.js, which asks at each drawing.
 */

import { hasNeeds } from './state.js';

const CATCHES_UP_FOR = 1_000; // ms in which what comes was missed; what comes later is just new
const SHOWN_FOR = 6_000; // ms

export class Comeback {
  #wasOpen = false;
  #before = null; // the turns at the time of the trouble
  #since = 0; // when the stream stood again
  #count = null; // once it is certain

  /** {count, isSure} while it is worth a word, else null. */
  look(state, isTroubled, now) {
    const isOpen = state.link.state === 'open';
    if (isTroubled && this.#wasOpen) this.#before ??= state.turns;
    this.#wasOpen ||= isOpen;
    if (!this.#before || !isOpen) {
      this.#since = 0;
      return null;
    }
    this.#since ||= now;
    return this.#tell(state, now - this.#since);
  }

  #tell(state, age) {
    const count = this.#count ?? caughtUp(this.#before, state.turns);
    if (age >= CATCHES_UP_FOR && !hasNeeds(state)) this.#count = count;
    if (age < SHOWN_FOR) return { count, isSure: this.#count !== null };
    this.#before = this.#count = null;
    return null;
  }
}

/** How many answers and messages are new, or have more text than they had. */
export function caughtUp(before, after) {
  const sizes = new Map(before.map((turn) => [turn.key, size(turn)]));
  return after.filter((turn) => turn.kind !== 'question' && size(turn) > (sizes.get(turn.key) ?? 0)).length;
}

const size = ({ text = '', content = '', reasoning = '', refusal = '' }) => (text + content + reasoning + refusal).length;
