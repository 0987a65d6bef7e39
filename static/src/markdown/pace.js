/**
 * When the next piece of an answer may be drawn: in the next frame, but never more than a fifth of the time goes into
 * drawing, so that the page stays quick while the text grows. Pure: it is told the time.
 */

const FRAME = 16; // ms
const SLACK = 1; // ms a frame may come early

export class Pace {
  #last = -Infinity;
  #cost = 0;

  /** May it be drawn now? */
  isDue(now) {
    return now - this.#last >= this.interval - SLACK;
  }

  get interval() {
    return Math.max(FRAME, 4 * this.#cost);
  }

  drawn(started, ended) {
    this.#last = started;
    this.#cost = Math.max(0, ended - started);
  }
}
