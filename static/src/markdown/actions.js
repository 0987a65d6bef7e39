/** What the buttons within an answer do. One listener for all of them. Called by index.js. */

import { toCsv } from './csv.js';
import { loadImage } from './images.js';

const SAID_FOR = 2_000; // ms that a button says that it worked

const ACTIONS = {
  // Without the last line break: a terminal would run what is pasted into it.
  copy(button, tools) {
    const { textContent } = button.closest('.md-code').querySelector('code');
    return copied(button, textContent.replace(/\n$/, ''), tools);
  },
  csv: (button, tools) => copied(button, toCsv(cellsOf(button.closest('.md-table'))), tools),
  wrap(button) {
    const isWrapped = button.closest('.md-code').classList.toggle('md-wrapped');
    button.setAttribute('aria-pressed', String(isWrapped));
  },
  image: (button, { labels }) => loadImage(button, labels),
};

/** Listens on `root` for clicks on the buttons in it; gives a function that stops it. `copy(text)` gives a promise. */
export function listen(root, labels, copy = copyText) {
  const hear = ({ target }) => {
    const button = target.closest?.('[data-md]');
    if (button) ACTIONS[button.dataset.md]?.(button, { labels, copy });
  };
  root.addEventListener('click', hear);
  return () => root.removeEventListener('click', hear);
}

async function copied(button, text, { labels, copy }) {
  const words = button.textContent;
  const isDone = await Promise.resolve(copy(text)).then((result) => result !== false, () => false);
  if (button.dataset.said) return;
  button.dataset.said = 'yes';
  button.textContent = isDone ? labels.copied : labels.copyFailed;
  setTimeout(() => {
    button.textContent = words;
    delete button.dataset.said;
  }, SAID_FOR);
}

const cellsOf = (box) => [...box.querySelectorAll('tr')].map(({ cells }) => [...cells].map((cell) => cell.textContent));

/** Without a secure context there is no clipboard: then by the old way, from a text box that is there for a moment. */
async function copyText(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  const box = document.createElement('textarea');
  const focused = document.activeElement;
  box.value = text;
  document.body.append(box);
  box.select();
  const isDone = document.execCommand('copy');
  box.remove();
  focused?.focus();
  return isDone;
}
