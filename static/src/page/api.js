/**
 * The calls of docs/protocol.md §3 that the page makes, over fetch. Each gives the JSON of the answer or throws
 * CallFailed. Nothing here repeats anything: who asked decides.
 */

const PATIENCE = 30_000; // ms for an answer that is ready at once on the server's side

/** A call that did not work. `code` is the server's own, or 'network', 'timeout', 'not_json'; status 0: no answer. */
export class CallFailed extends Error {
  constructor({ status = 0, code, detail = '', field = '' }) {
    super(detail || code);
    Object.assign(this, { name: 'CallFailed', status, code, detail, field });
  }

  /** Whether the same call may work later. */
  get isPassing() {
    return this.status === 0 || this.status >= 500 || this.status === 429 || this.status === 408;
  }
}

/** `base`: the prefix of all paths, '' or '/prefix'. */
export function createApi({ base, clientId, fetch = (...request) => globalThis.fetch(...request) }) {
  const whose = `clientId=${encodeURIComponent(clientId)}`;
  const get = (path) => call(fetch, `${base}/${path}?${whose}`, { method: 'GET' });
  const post = (path, body) => call(fetch, `${base}/${path}`, {
    method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify({ clientId, ...body }),
  });

  return {
    streamURL: `${base}/sse/createConnect`,
    /** body: {generationId, conversationId?} and `message` or `messages` → {generationId, conversationId} */
    ask: (body) => post('chat', body),
    stop: (generationId) => post(`chat/${encodeURIComponent(generationId)}/stop`, {}),
    answer: (generationId) => get(`chat/${encodeURIComponent(generationId)}`),
    conversation: (id) => get(`conversations/${encodeURIComponent(id)}`),
  };
}

async function call(fetch, url, request) {
  try {
    const response = await fetch(url, { ...request, cache: 'no-store', signal: AbortSignal.timeout(PATIENCE) });
    const body = await response.json().catch(() => null);
    if (!response.ok) throw failure(response, body);
    if (body === null) throw new CallFailed({ status: response.status, code: 'not_json' });
    return body;
  } catch (error) {
    if (error instanceof CallFailed) throw error;
    throw new CallFailed({ code: error?.name === 'TimeoutError' ? 'timeout' : 'network', detail: error?.message });
  }
}

/** [RFC 9457] The problem that the server states; a proxy in between states none. */
function failure(response, body) {
  const { code, detail, title, field } = body ?? {};
  const fallback = response.status >= 500 ? 'server' : 'refused';
  const said = { code: code ?? fallback, detail: detail ?? title ?? '', field: field ?? '' };
  return new CallFailed({ status: response.status, ...said });
}
