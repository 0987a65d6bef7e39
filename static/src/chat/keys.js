/**
 * The keys of the chat, as a list in a dialog. Loaded only when somebody asks for it. Touches the element it is put into
 * and the focus, which goes back where it was. Used by page/keys.js.
 */

import { make } from './text.js';

/** Here, so that nobody loads them before; the page, which is the only one to ask for the list, has no other languages. */
const TEXTS = {
  en: {
    send: 'Send the message', line: 'A new line', edit: 'Change the last question, in an empty box',
    stop: 'Stop the answer', cancel: 'Leave the change of a question', list: 'Show this list, outside of the box', close: 'Close',
  },
  zh: {
    send: '发送消息', line: '换行', edit: '修改上一个问题（输入框为空时）', stop: '停止回答', cancel: '放弃修改问题',
    list: '显示此列表（不在输入框中时）', close: '关闭',
  },
};
const KEYS = [['send', 'Enter'], ['line', 'Shift', 'Enter'], ['edit', '↑'], ['stop', 'Esc'], ['cancel', 'Esc'], ['list', '?']];

export function showKeys({ place, t }) {
  if (place.querySelector('.keys')) return;
  const words = TEXTS[t.language.startsWith('zh') ? 'zh' : 'en'];
  const close = make('button', { class: 'button', type: 'button', text: words.close, on: { click: () => dialog.close() } });
  const dialog = make('dialog', { class: 'keys', 'aria-labelledby': 'keys-title', closedby: 'any' },
    make('h2', { id: 'keys-title', text: t('keys.title') }), listOf(words), close);
  dialog.addEventListener('close', () => dialog.remove());
  // Esc closes the list here; it is not to stop an answer as well.
  dialog.addEventListener('keydown', (event) => { if (event.key === 'Escape') event.stopPropagation(); });
  place.append(dialog);
  dialog.showModal();
}

function listOf(words) {
  return make('dl', {}, ...KEYS.map(([name, ...keys]) => (
    make('div', {}, make('dt', {}, ...keys.map((key) => make('kbd', { text: key }))), make('dd', { text: words[name] })))));
}
