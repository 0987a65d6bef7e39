/**
 * Which of several pages leads: the one that holds the Web Lock of that name. Touches Web Locks only.
 * Used by shared.js.
 */

export class Leadership {
  #name;
  #onLead;
  #onLost;
  #leaving = new AbortController();
  #release = () => {};
  isHeld = false;

  /** onLead(): the lock is held from now on; onLost(): another page took it, and this one is back in line. */
  constructor(name, { onLead, onLost }) {
    this.#name = name;
    this.#onLead = onLead;
    this.#onLost = onLost;
  }

  /** Gets in line. */
  queue() {
    void this.#request({ signal: this.#leaving.signal });
  }

  /** Does not wait: for when who holds it sleeps. */
  take() {
    void this.#request({ steal: true });
  }

  /** Gives the lock or the place in line to the next. */
  leave() {
    this.isHeld = false;
    this.#leaving.abort();
    this.#release();
  }

  async #request(how) {
    try {
      await navigator.locks.request(this.#name, how, () => this.#hold());
    } catch (error) {
      if (this.#leaving.signal.aborted) return;
      if (error?.name === 'AbortError') this.#lose();
      else void this.#hold(); // no locks for this page, so nobody it could disturb
    }
  }

  #hold() {
    if (this.#leaving.signal.aborted) return null;
    this.isHeld = true;
    this.#onLead();
    return new Promise((resolve) => { this.#release = resolve; });
  }

  #lose() {
    this.isHeld = false;
    this.queue();
    this.#onLost();
  }
}
