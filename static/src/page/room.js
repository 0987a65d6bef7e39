/**
 * How much longer a question may become, once nine tenths of what the server takes are used. `charactersLeft` is pure;
 * `showRoom` touches the line under the message box. Used by page/main.js.
 */

import { label, make } from '../chat/text.js';

const SHOWN_FROM = 0.9;
const BESIDE = 500; // bytes of a question's JSON that are not its text, at most
const MOST_BYTES = 6; // of one character in JSON
const encoder = new TextEncoder();

/** About how many characters more fit into `limit` bytes, negative for too many; null while there is plenty of room. */
export function charactersLeft(text, limit) {
  if (text.length * MOST_BYTES + BESIDE < limit * SHOWN_FROM) return null; // not counted at each key of a short one
  const size = encoder.encode(JSON.stringify(text)).length;
  const left = limit - BESIDE - size;
  return size + BESIDE < limit * SHOWN_FROM ? null : Math.floor(left / (size / text.length));
}

/** frame: see chat/frame.js; t: the words; limit: bytes of a request, NaN where it is not known. */
export function showRoom({ frame, t, limit }) {
  if (!(limit > 0)) return;
  const { message } = frame.form.elements;
  const element = make('span', { class: 'room', id: 'room' });
  frame.hint.after(element);
  let wasOver = false;

  function show() {
    const left = charactersLeft(message.value, limit);
    const isOver = left < 0;
    const words = left === null ? '' : t(isOver ? 'ask.over' : 'ask.room', { n: t.number(Math.abs(left)) });
    label(element, words);
    element.dataset.over = String(isOver);
    if (isOver && !wasOver) label(frame.status, words); // once, and not at each key
    wasOver = isOver;
  }

  frame.form.addEventListener('drafted', show);
  show();
}
