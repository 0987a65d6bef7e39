/**
 * What the browser remembers of a chat: small texts under a prefix, per tab first, then for all tabs.
 * Storage may be forbidden, full or private: then memory does, and the page works until it is reloaded.
 */

/** `prefix` sets the chats of one site apart. `shared` outlives the tab, `own` outlives a reload of it; both are Storage or a getter that may throw. */
export function createStorage({ prefix = 'deltahub.', shared = () => localStorage, own = () => sessionStorage } = {}) {
  const memory = new Map();
  const places = [reachable(own), reachable(shared)];
  let isKept = true;

  return {
    /** The text kept under `name`, "" where there is none; this tab's before that of all tabs. */
    get(name) {
      if (memory.has(name)) return memory.get(name);
      for (const place of places) {
        const text = attempt(() => place?.getItem(prefix + name));
        if (text !== null && text !== undefined) return text;
      }
      return '';
    },

    /** Keeps `text` in this tab and, unless `tabOnly`, for tabs to come. */
    set(name, text, { tabOnly = false } = {}) {
      memory.set(name, text);
      const done = (tabOnly ? places.slice(0, 1) : places).map((place) => attempt(() => (place.setItem(prefix + name, text), true)));
      isKept = done.some(Boolean);
    },

    /** Whether what was set last is there after a reload. */
    get isKept() { return isKept; },

    /** The JSON kept under `name`, or null, also for what is not JSON: another version may have written it. */
    getJSON(name) {
      return attempt(() => JSON.parse(this.get(name))) ?? null;
    },

    setJSON(name, value, options) {
      this.set(name, value === null ? '' : JSON.stringify(value), options);
    },
  };
}

function reachable(getter) {
  return attempt(getter);
}

function attempt(action) {
  try {
    return action();
  } catch {
    return undefined;
  }
}

/** Whether what was kept may be an id: docs/protocol.md §1. Others can write into a site's storage, too. */
export const isId = (text) => typeof text === 'string' && /^[\w.~-]{1,128}$/.test(text);

/** An id that nobody guesses, in the alphabet of docs/protocol.md §1: 128 random bits. */
export function newClientId(crypto = globalThis.crypto) {
  return hex(crypto.getRandomValues(new Uint8Array(16)));
}

/** A UUID of version 4. `crypto.randomUUID` exists on secure origins only, and a page in a LAN is none. */
export function newUUID(crypto = globalThis.crypto) {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  return hex(bytes).replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}

function hex(bytes) {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}
