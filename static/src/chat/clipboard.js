/** Puts a text on the clipboard, also where the page has no right to the modern way. Touches the clipboard and `home`. */

/** `home`: an element that may hold a text box for a moment; in a modal dialog nothing outside it takes the focus. */
export async function copyText(text, home) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return copyBySelection(text, home);
  }
}

/** Pages on plain http have no `navigator.clipboard`, and a frame may be denied it. */
function copyBySelection(text, home) {
  const root = home.getRootNode();
  const focused = root.activeElement;
  const box = document.createElement('textarea');
  box.className = 'unseen';
  box.value = text;
  home.append(box);
  box.select();
  const isDone = document.execCommand('copy');
  box.remove();
  focused?.focus({ preventScroll: true });
  return isDone;
}
