/** The line under the box: how it is used, and for a moment why something did not happen. Touches that line. */

import { label } from './text.js';

const SHOWN_FOR = 5_000; // ms

export function createHint(element, t) {
  let usual = 'ask.hint';
  let timer = 0;

  function rest() {
    label(element, t(usual));
    delete element.dataset.urgent;
    timer = 0;
  }

  rest();
  return {
    setBusy(isBusy) {
      usual = isBusy ? 'ask.hint.running' : 'ask.hint';
      if (!timer) rest();
    },

    show(key) {
      clearTimeout(timer);
      label(element, t(key));
      element.dataset.urgent = 'true';
      timer = setTimeout(rest, SHOWN_FOR);
    },
  };
}
