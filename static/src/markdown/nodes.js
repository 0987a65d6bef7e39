/** Elements by createElement, texts as text nodes: no string of HTML ever meets the DOM. Called by all that draws. */

export function make(tag, name = '', ...children) {
  const element = document.createElement(tag);
  if (name) element.className = name;
  element.append(...children);
  return element;
}

/** A button whose click means `action`; actions.js listens for all of them at once. */
export function button(action, name, words) {
  const element = make('button', name, words);
  element.type = 'button';
  element.dataset.md = action;
  return element;
}

/** Changes a text node as little as possible: what is selected in it stays selected. */
export function setText(node, text) {
  if (node.data === text) return;
  if (text.startsWith(node.data)) node.appendData(text.slice(node.length));
  else node.data = text;
}
