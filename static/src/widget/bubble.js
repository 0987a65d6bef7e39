/**
 * The page's greeting beside the button of a widget that is closed: once a session, until it is dismissed or the panel
 * opens. Loaded by widget.js where the page has a greeting. Touches the element's shadow root and the tab's storage, and
 * asks the hub for nothing.
 */

const WORDS = { en: ['Greeting', 'Dismiss'], zh: ['问候', '关闭'] };
const MOST = 300; // characters, as in options.js, which tells the page of it
const CSS = `
  .bubble { all: initial; position: fixed; z-index: 2147483646; inset: auto 20px calc(68px + max(20px, env(safe-area-inset-bottom))) auto;
    display: flex; align-items: start; box-sizing: border-box; max-width: min(280px, 100vw - 40px);
    max-height: calc(100dvh - 88px - max(20px, env(safe-area-inset-bottom))); border: 1px solid #dfe3e0;
    border-radius: 16px; background: #fff; color: #1d2524; box-shadow: 0 2px 6px rgb(0 0 0 / 12%), 0 8px 24px rgb(0 0 0 / 12%) }
  .bubble.left { right: auto; left: 20px }
  .bubble.dark { border-color: #2c3537; background: #1d2426; color: #e4e9e7 }
  .bubble button { all: unset; box-sizing: border-box; min-height: 44px; border-radius: 15px; font: 15px/1.45 system-ui, sans-serif; cursor: pointer }
  .bubble .words { max-height: inherit; overflow: auto; padding: 11px 0 11px 16px; overflow-wrap: anywhere; text-align: start }
  .bubble .words:dir(rtl) { padding: 11px 16px 11px 0 }
  .bubble .dismiss { flex: none; width: 44px; font-size: 20px; text-align: center }
  .bubble button:focus-visible { outline: 2px solid currentColor; outline-offset: -3px }
  @media print { .bubble { display: none } }`;

/** host: the element; key: what its words in the storage begin with. */
export function greet(host, key) {
  const text = (host.getAttribute('greeting') ?? '').trim();
  const isOpen = host.shadowRoot.querySelector('.launcher')?.getAttribute('aria-expanded') === 'true';
  if (!host.isConnected || host.shadowRoot.querySelector('.bubble')) return;
  if (!text || text.length > MOST || isOpen || !noted(key)) return;
  const bubble = draw(host, text);
  host.addEventListener('open', () => bubble.remove(), { once: true });
  host.shadowRoot.append(bubble);
}

/** A greeting that cannot be remembered would come again on each page. */
function noted(key) {
  try {
    sessionStorage.setItem(`${key}greeted`, 'yes');
    return true;
  } catch {
    return false;
  }
}

function draw(host, text) {
  const [name, dismiss] = WORDS[(host.lang || document.documentElement.lang || navigator.language).startsWith('zh') ? 'zh' : 'en'];
  const sheet = new CSSStyleSheet();
  sheet.replaceSync(CSS);
  host.shadowRoot.adoptedStyleSheets.push(sheet);
  const bubble = document.createElement('aside');
  bubble.className = `bubble ${host.getAttribute('position') === 'left' ? 'left' : ''} ${isDark(host) ? 'dark' : ''}`;
  bubble.ariaLabel = name;
  bubble.append(
    button('words', text, () => host.open().catch(() => {})),
    Object.assign(button('dismiss', '×', () => bubble.remove()), { ariaLabel: dismiss }),
  );
  return bubble;
}

function button(className, textContent, click) {
  const element = Object.assign(document.createElement('button'), { type: 'button', className, textContent, dir: 'auto' });
  element.addEventListener('click', click);
  return element;
}

function isDark(host) {
  const theme = host.getAttribute('theme');
  return theme === 'dark' || (theme !== 'light' && matchMedia('(prefers-color-scheme: dark)').matches);
}
