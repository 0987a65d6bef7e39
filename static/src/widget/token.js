/** How the widget gets the token that its page has for it. Touches the page's globals by the name it was given. */

const PATIENCE = 30_000; // ms

/**
 * getToken({refused}) as api.js and the client want it: by the property `getToken` of the element, or by the name of a
 * function; '' where the page gave neither. Both are looked for at each call: the page may be slower than the widget.
 */
export function tokenOf(host, name) {
  return async (how) => {
    const getToken = host.getToken ?? (name ? named(name) : null);
    if (!getToken && !name) return '';
    if (typeof getToken !== 'function') throw new TypeError(`get-token="${name}" is not the name of a function of this page`);
    const token = await inTime(getToken(how));
    if (typeof token !== 'string' || !token) throw new TypeError('getToken() must resolve to a text that is not empty');
    return token;
  };
}

/** A host that never answers must not leave the reader with "Connecting…" for ever. */
function inTime(promise) {
  let timer;
  const late = new Promise((_, reject) => { timer = setTimeout(() => reject(new Error('getToken() gave nothing within 30 s')), PATIENCE); });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

const named = (path) => path.split('.').reduce((place, name) => place?.[name], globalThis);
