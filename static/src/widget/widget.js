/**
 * The loader of the widget: `<script async src="…/widget.js" data-…></script>` draws a button; what it opens is loaded
 * when it is needed. Defines `<delta-chat>`. A classic script, so that one tag is enough; it leaves nothing but the element
 * and `deltaChat`, the one that the tag made. Touches the document only to put that in. docs/widget.md has the options.
 */
{
  const FILES = typeof PANEL_FILES === 'undefined' ? ['static/src/widget/panel.js'] : PANEL_FILES; // the build knows them
  const BUBBLE = typeof BUBBLE_FILE === 'undefined' ? 'static/src/widget/bubble.js' : BUBBLE_FILE;
  const METHODS = ['open', 'close', 'toggle', 'send', 'setContext', 'setUser', 'setLang', 'newThread'];
  const WATCHED = ['lang', 'texts', 'theme', 'color', 'position', 'name', 'greeting', 'starters', 'label'];
  const WORDS = {
    en: ['Open the chat', '{n} unread', 'The chat could not be loaded. Try again'],
    zh: ['打开对话', '{n} 条未读', '对话未能载入，请再试一次'],
  };
  const CSS = `
    :host([floating]) { all: initial !important; display: contents !important }
    .launcher { all: initial; position: fixed; z-index: 2147483646; inset: auto 20px max(20px, env(safe-area-inset-bottom)) auto;
      display: grid; place-items: center; box-sizing: border-box; width: 56px; height: 56px; border-radius: 50%; cursor: pointer;
      background: var(--own, #0f6f6c); color: var(--on-own, #fff); box-shadow: 0 2px 6px rgb(0 0 0 / 25%), 0 8px 24px rgb(0 0 0 / 18%) }
    .launcher:focus-visible { outline: 3px solid var(--own, #0f6f6c); outline-offset: 3px }
    .launcher:hover { filter: brightness(1.1) }
    .left { inset-inline: 20px auto; inset-inline: auto; left: 20px; right: auto }
    .badge { position: absolute; inset: -4px -4px auto auto; box-sizing: border-box; min-width: 22px; padding: 0 6px; border-radius: 11px;
      background: #b3261e; color: #fff; font: 600 13px/22px system-ui, sans-serif; text-align: center }
    [hidden] { display: none !important }
    @media (forced-colors: active) { .launcher { border: 2px solid } }
    @media print { .launcher { display: none } }`;

  const script = document.currentScript;
  // Beside this script, by whichever of its addresses it was loaded.
  const home = script?.src ? script.src.replace(/[?#].*$/, '').replace(/(static\/(src\/widget|dist)\/)?[^/]*$/, '') : '';

  const complain = (text) => console.error(`Deltahub widget: ${text}`);

  /** The address of the hub with a slash at its end, or '' where there is none that can be asked. */
  function hubOf(element) {
    const given = element.getAttribute('hub') ?? home;
    if (!given) complain('this script does not know its hub. Load it by <script src="https://…/widget.js">, or name it in data-hub.');
    try {
      const { protocol, origin, pathname } = new URL(given || 'about:blank', document.baseURI);
      if (/^https?:$/.test(protocol)) return origin + pathname.replace(/\/*$/, '/');
      if (given) complain(`hub=${JSON.stringify(given)} is not an address that begins with http:// or https://.`);
    } catch {
      complain(`hub=${JSON.stringify(given)} is not an address.`);
    }
    return '';
  }

  function remembers(key) {
    try {
      return Boolean(sessionStorage.getItem(key) || localStorage.getItem(key));
    } catch {
      return false;
    }
  }

  class DeltaChat extends HTMLElement {
    static observedAttributes = WATCHED;
    #root = this.attachShadow({ mode: 'open' });
    #panel = null; // a promise of what panel.js gives
    #isReady = false;
    #stay = 0; // on the page: what is loaded for one that is over is not put up
    #failures = 0;
    #language = ''; // that of the panel
    #launcher = null;
    #unread = 0;
    #isFailed = false;
    #refreshing = false;

    connectedCallback() {
      if (this.hub) return; // moved within the page
      this.hub = hubOf(this);
      if (!this.hub) return;
      const sheet = new CSSStyleSheet();
      sheet.replaceSync(CSS);
      this.#root.adoptedStyleSheets = [sheet];
      const isFloating = this.hasAttribute('floating');
      if (isFloating) this.#launch();
      const key = `deltahub@${this.hub}`;
      const isWanted = ['open', 'debug'].some((name) => this.hasAttribute(name)) || remembers(`${key}open`);
      if (!isFloating || isWanted) this.#load();
      else this.#wait(key);
    }

    /** Closed: a greeting the first time in a session, and who has chatted before is told what came since. */
    #wait(key) {
      if (this.getAttribute('greeting') && !remembers(`${key}greeted`)) import(this.hub + BUBBLE).then(({ greet }) => greet(this, key), () => {});
      if (remembers(`${key}started`)) (window.requestIdleCallback ?? setTimeout)(() => this.hub && this.#load());
    }

    disconnectedCallback() {
      queueMicrotask(async () => {
        if (this.isConnected) return;
        const panel = this.#panel;
        this.#panel = this.#launcher = null;
        [this.#isReady, this.#isFailed, this.#unread, this.#language] = [false, false, 0, ''];
        this.#stay += 1;
        this.hub = '';
        this.#root.replaceChildren();
        (await panel?.catch(() => null))?.destroy();
      });
    }

    attributeChangedCallback() {
      if (this.#refreshing || !this.hub) return;
      this.#refreshing = true;
      queueMicrotask(async () => {
        this.#refreshing = false;
        this.#dress();
        (await this.#panel?.catch(() => null))?.refresh();
      });
    }

    /** Takes it off the page; what runs goes on, on the server. */
    destroy() { this.remove(); }

    #launch() {
      const drawn = (tag, attributes) => {
        const element = document.createElementNS('http://www.w3.org/2000/svg', tag);
        for (const name in attributes) element.setAttribute(name, attributes[name]);
        return element;
      };
      const svg = drawn('svg', { viewBox: '0 0 24 24', width: 28, height: 28, 'aria-hidden': 'true', fill: 'none', stroke: 'currentColor', 'stroke-width': 1.8, 'stroke-linejoin': 'round', 'stroke-linecap': 'round' });
      svg.append(drawn('path', { d: 'M4 5h16v11H10l-4 4v-4H4zM8 9h8M8 12h5' }));
      const badge = document.createElement('span');
      badge.className = 'badge';
      badge.setAttribute('aria-hidden', 'true');
      this.#launcher = document.createElement('button');
      this.#launcher.type = 'button';
      this.#launcher.part = 'launcher';
      this.#launcher.setAttribute('aria-haspopup', 'dialog');
      this.#launcher.append(svg, badge);
      for (const name of ['pointerenter', 'focus']) this.#launcher.addEventListener(name, () => this.#load(), { once: true });
      this.#launcher.addEventListener('click', () => (this.#isReady ? this.toggle() : this.open()).catch(() => {}));
      this.#root.append(this.#launcher);
      this.#dress();
    }

    #dress() {
      const button = this.#launcher;
      if (!button) return;
      const [label, unread, failed] = WORDS[(this.#language || this.lang || document.documentElement.lang || navigator.language).startsWith('zh') ? 'zh' : 'en'];
      const own = this.getAttribute('label') || label;
      button.className = this.getAttribute('position') === 'left' ? 'launcher left' : 'launcher';
      button.ariaLabel = this.#isFailed ? failed : this.#unread ? `${own}, ${unread.replace('{n}', this.#unread)}` : own;
      button.lastChild.hidden = !this.#unread && !this.#isFailed;
      button.lastChild.textContent = this.#isFailed ? '!' : this.#unread > 99 ? '99+' : this.#unread;
    }

    /** What the panel tells the button: how much is unread, whether it is open, its colours, '' for the usual, its language. */
    #tell({ unread = this.#unread, isOpen, colors = {}, language = this.#language }) {
      [this.#unread, this.#language] = [unread, language];
      if (isOpen !== undefined) this.#launcher?.setAttribute('aria-expanded', isOpen);
      for (const name in colors) this.#launcher?.style.setProperty(name, colors[name]);
      this.#dress();
    }

    #load() {
      const stay = this.#stay;
      this.#panel ??= this.#import(stay).catch((error) => {
        if (stay !== this.#stay) throw error;
        this.#panel = null;
        this.#failures += 1;
        this.#isFailed = true;
        this.#dress();
        complain(`the panel could not be loaded from ${this.hub}: ${error.message}`);
        this.dispatchEvent(new CustomEvent('error', { detail: { code: 'panel', message: error.message } }));
        throw error;
      });
      this.#panel.catch(() => {});
      return this.#panel;
    }

    async #import(stay) {
      const [file, ...others] = FILES.map((name) => this.hub + name);
      for (const href of others) document.head.append(Object.assign(document.createElement('link'), { rel: 'modulepreload', href }));
      // A browser may remember that a module could not be had.
      const { createPanel } = await import(this.#failures ? `${file}?${this.#failures}` : file);
      const isOver = () => stay !== this.#stay;
      if (isOver()) throw new Error('This chat was taken off the page while it was loaded');
      this.#isFailed = false;
      this.#dress();
      const tell = (news) => isOver() || this.#tell(news);
      const panel = await createPanel({ host: this, root: this.#root, launcher: this.#launcher, tell });
      this.#isReady = !isOver();
      return panel;
    }

    static {
      for (const name of METHODS) {
        this.prototype[name] = async function call(...given) {
          if (!this.hub) throw new Error('This chat is not on the page, or has no hub');
          return (await this.#load())[name](...given);
        };
      }
    }
  }

  /** Unless the page has put the element where it wants it. */
  function float() {
    if ('manual' in script.dataset || document.querySelector('delta-chat')) return;
    const element = document.createElement('delta-chat');
    element.setAttribute('floating', '');
    for (const { name, value } of script.attributes) {
      try {
        if (name.startsWith('data-')) element.setAttribute(name.slice(5), value);
      } catch {
        complain(`${name} is not a name that an option can have. It is left out.`);
      }
    }
    if (!window.deltaChat?.isConnected) window.deltaChat = element;
    document.documentElement.append(element); // not in the body, whose transforms and filters would take hold of it
  }

  /** As a module this script does not know its own tag. */
  function miss() {
    if (!document.querySelector('delta-chat')) complain('there is no chat on this page: load it by <script async src="…/widget.js">, or write <delta-chat hub="…">.');
  }

  if (!customElements.get('delta-chat')) customElements.define('delta-chat', DeltaChat);
  if (script && document.readyState !== 'loading') float();
  else document.addEventListener('DOMContentLoaded', script ? float : miss);
}
