/** A formula as an element: TeX, until the part that sets formulas is there, then MathML. Used where text is drawn. */

import { make } from './nodes.js';

const LONGEST = 4_000; // characters

/** `load` gives the module math.js, or nothing: then formulas stay TeX. */
export function formulas(load) {
  return ({ tex, isBlock, isOpen }) => {
    const element = make('span', isBlock ? 'md-math md-display' : 'md-math', make('code', '', tex));
    element.dir = 'ltr';
    const isReady = load && !isOpen && tex.length <= LONGEST;
    if (isReady) load().then(({ render }) => render(tex, element, isBlock)).catch(() => {});
    return element;
  };
}
