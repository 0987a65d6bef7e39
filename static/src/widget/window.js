/**
 * The box that the chat stands in: a dialog beside the button, all of the screen on a phone, or a part of the page.
 * Touches the shadow root it is given, the focus, and the page's size. Used by panel.js.
 */

import { make } from '../chat/text.js';

const SMALL = '(max-width: 640px), (max-height: 480px)';

/** onClose(): the reader closed it. Gives {element, show, hide, isOpen, isSmall}. */
export function createWindow({ root, launcher, isFloating, signal, onClose }) {
  if (!isFloating) return createPlace(root);
  const element = make('dialog', { class: 'panel floating', part: 'panel', 'aria-labelledby': 'title', tabindex: '-1' });
  const small = matchMedia(SMALL);
  let before = null; // what had the focus
  let isOpen = false;
  root.append(element);

  /** takesFocus: the reader wants it; where it opens by itself they may be typing elsewhere. */
  function show({ takesFocus }) {
    isOpen = true;
    const had = deepFocus();
    before = had ?? launcher;
    stand();
    if (takesFocus) element.focus({ preventScroll: true });
    else if (had) had.focus({ preventScroll: true }); // a dialog takes it by itself
    else root.activeElement?.blur();
  }

  /**
   * On a small screen nothing of the page can be seen, so nothing of it may be reached either. Elsewhere it stands
   * in the top layer as a popover, where no transform and no opacity of the page's takes hold of it.
   */
  function stand() {
    element.dataset.open = small.matches ? 'modal' : 'beside';
    if (small.matches) element.showModal();
    else if (element.showPopover) Object.assign(element, { popover: 'manual' }).showPopover();
    else element.show();
  }

  function fall() {
    delete element.dataset.open;
    if (element.open) element.close();
    else element.hidePopover();
    element.removeAttribute('popover'); // or it could not be modal next time
  }

  function hide() {
    if (!isOpen) return;
    isOpen = false;
    const hadFocus = element.contains(root.activeElement);
    fall();
    if (hadFocus) (before?.isConnected ? before : launcher).focus({ preventScroll: true });
  }

  function fit() {
    const { visualViewport: seen } = window;
    const isCovered = small.matches && seen?.scale === 1 && window.innerHeight - seen.height > 60;
    element.style.setProperty('--height', isCovered ? `${seen.height}px` : '100dvh');
  }

  element.addEventListener('cancel', (event) => { // the browser's own Esc, where it is modal
    event.preventDefault();
    onClose();
  });
  element.addEventListener('keydown', (event) => {
    if (event.key !== 'Escape' || event.isComposing || event.keyCode === 229) return;
    event.preventDefault();
    onClose();
  });
  small.addEventListener('change', () => {
    if (!isOpen) return;
    fall();
    stand();
  }, { signal });
  window.visualViewport?.addEventListener('resize', fit, { signal });

  return { element, show, hide, get isOpen() { return isOpen; }, get isSmall() { return small.matches; } };
}

function createPlace(root) {
  const element = make('div', { class: 'panel inline', part: 'panel', role: 'region', 'aria-labelledby': 'title' });
  root.append(element);
  return { element, show() {}, hide() {}, isOpen: true, isSmall: false };
}

/** What has the focus, also within a shadow root. */
function deepFocus() {
  let found = document.activeElement;
  while (found?.shadowRoot?.activeElement) found = found.shadowRoot.activeElement;
  return found === document.body ? null : found;
}
