/** Formulas as MathML by temml, which makes elements, no strings. Loaded with the first formula, by formula.js. */

import temml from 'temml';

const OPTIONS = { throwOnError: true, trust: false, maxSize: [20, 20], maxExpand: 200, strict: false };

/** Puts the formula into `element`. What temml does not understand stays TeX: its error would help nobody. */
export function render(tex, element, displayMode) {
  const drawn = document.createElement('span');
  temml.render(tex, drawn, { ...OPTIONS, displayMode });
  drawn.firstElementChild?.setAttribute('aria-label', tex);
  element.replaceChildren(...drawn.childNodes);
}
