/** The ways to the list of keys: a button in the bar, and `?`. Touches the document's keys. Used by page/main.js. */

import { make } from '../chat/text.js';

const TEXT_BOXES = 'input, textarea, select, [contenteditable]';

/** frame: see chat/frame.js; t: the words. */
export function offerKeys({ frame, t }) {
  const show = () => import('../chat/keys.js').then(
    ({ showKeys }) => showKeys({ place: frame.bar.parentNode, t }),
    (error) => console.warn(`The list of keys could not be loaded: ${error.message}`),
  );
  const title = t('keys.title');
  frame.newChat.before(make('button', { class: 'button ask-keys', type: 'button', 'aria-label': title, title, text: '?', on: { click: show } }));
  document.addEventListener('keydown', (event) => {
    if (event.key !== '?' || event.ctrlKey || event.metaKey || event.altKey || event.target.matches(TEXT_BOXES)) return;
    event.preventDefault();
    void show();
  });
}
