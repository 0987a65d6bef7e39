/**
 * Why a server on another site does not answer this page: it does not allow the page's site, or the site's own policy
 * forbids the call. Touches the network, and hears what the page's policy forbade. Used by component.js.
 */

/** Gives `diagnose()`, which resolves to 'origin', 'policy', or '' where the server or the network may be down. */
export function createDiagnosis({ base, signal, fetch = (...request) => globalThis.fetch(...request) }) {
  const server = new URL(`${base}/`, document.baseURI);
  let isForbidden = false;
  document.addEventListener('securitypolicyviolation', ({ blockedURI, effectiveDirective }) => {
    if (effectiveDirective === 'connect-src' && blockedURI.startsWith(server.origin)) isForbidden = true;
  }, { signal });

  return async () => {
    if (server.origin === location.origin) return '';
    if (isForbidden) return 'policy';
    const health = new URL('healthz', server).href;
    const mayRead = await answers(fetch, health, 'cors');
    return !mayRead && await answers(fetch, health, 'no-cors') ? 'origin' : '';
  };
}

/** 'no-cors': whether there is any answer at all; 'cors': one that this page may read. */
function answers(fetch, url, mode) {
  const request = { mode, cache: 'no-store', credentials: 'omit', signal: AbortSignal.timeout(5_000) };
  return fetch(url, request).then(() => true, () => false);
}
