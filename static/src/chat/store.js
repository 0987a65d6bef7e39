/** The one place where the page's state is held. Everything else asks it, changes it through it, or is told of it. */

import { emptyState } from './state.js';

/** onChange(state) after every change; `now` gives the time that changes are stamped with, ms. */
export function createStore({ onChange, now = Date.now }) {
  let state = emptyState();

  const store = {
    now,

    get state() { return state; },

    become(next) {
      if (next === state) return;
      state = next;
      onChange(state);
    },

    /** Applies one of actions.js. */
    act(action, given = {}) {
      store.become(action(state, { at: now(), ...given }));
    },
  };
  return store;
}
