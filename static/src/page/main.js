/**
 * The chat page: the chat, and nothing else. Touches the document; nothing is imported by others from here.
 */

import { createComponent } from '../chat/component.js';
import { createStorage } from '../chat/storage.js';
import { loadWords, pickLanguage } from '../chat/words.js';
import { offerKeys } from './keys.js';
import { showRoom } from './room.js';

const STARTERS = ['starter.1', 'starter.2', 'starter.3', 'starter.4'];

const metaOf = (name) => document.querySelector(`meta[name="${name}"]`)?.content ?? '';

async function main() {
  const t = await loadWords(pickLanguage(navigator.languages));
  const title = metaOf('deltahub-title');
  document.documentElement.lang = t.language;
  document.documentElement.dir = t.direction;
  document.title = `${title} – ${t('chat.title')}`;
  document.querySelector('.skip').textContent = t('skip');
  const chat = createComponent({
    place: document.body, base: metaOf('deltahub-base'), t, storage: createStorage(), isPage: true,
    title, model: metaOf('deltahub-model'), starters: STARTERS.map((key) => t(key)),
    mark: document.querySelector('link[rel="icon"]').href, adopt,
  });
  fitKeyboard();
  offerKeys({ frame: chat.frame, t });
  showRoom({ frame: chat.frame, t, limit: Number(metaOf('deltahub-limit')) });
  document.documentElement.dataset.ready = 'true';
  chat.focus();
  void chat.start();
}

/** [CSP] A style sheet that a script makes is not forbidden by style-src, where one in a <style> is. */
function adopt(styles) {
  const sheet = new CSSStyleSheet();
  sheet.replaceSync(styles);
  document.adoptedStyleSheets.push(sheet);
}

/** Where a keyboard on the screen covers the page instead of shrinking it, the page shrinks itself. */
function fitKeyboard() {
  const { visualViewport: seen } = window;
  const fit = () => {
    const isCovered = seen.scale === 1 && window.innerHeight - seen.height > 60;
    document.documentElement.style.setProperty('--height', isCovered ? `${seen.height}px` : '');
  };
  seen?.addEventListener('resize', fit);
}

void main();
