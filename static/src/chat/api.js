/**
 * The calls of docs/protocol.md §3 that the chat makes, over fetch. Each gives the JSON of the answer or throws
 * CallFailed. Nothing here repeats anything but what a refused token kept from being done: who asked decides.
 */

const PATIENCE = 30_000; // ms for an answer that is ready at once on the server's side

/** A call that did not work. `code` is the server's own, or 'network', 'timeout', 'not_json'; status 0: no answer. */
export class CallFailed extends Error {
  name = 'CallFailed'; // a field, which also stands where a page has frozen Error

  constructor({ status = 0, code, detail = '', field = '', requestId = '' }) {
    super(detail || code);
    Object.assign(this, { status, code, detail, field, requestId });
  }
}

/**
 * `base`: the prefix of all paths, '', '/prefix' or a whole address. getToken({refused}) resolves to the Bearer token,
 * '' for none; it is asked again when the server refuses the one it gave.
 */
export function createApi({ base, clientId, getToken = null, fetch = (...request) => globalThis.fetch(...request) }) {
  const whose = `clientId=${encodeURIComponent(clientId)}`;
  const send = sender(fetch, getToken);
  const get = (path) => call(send, `${base}/${path}?${whose}`, { method: 'GET' });
  const post = (path, body, headers) => call(send, `${base}/${path}`, {
    method: 'POST', headers: { 'Content-Type': 'application/json', ...headers }, body: JSON.stringify({ clientId, ...body }),
  });

  return {
    streamURL: `${base}/sse/createConnect`,
    /**
     * body: {generationId, conversationId?} and `message` or `messages` → {generationId, conversationId}. The request is
     * called like the answer, so that one word finds both in the server's logs.
     */
    ask: (body) => post('chat', body, { 'X-Request-ID': body.generationId }),
    stop: (generationId) => post(`chat/${encodeURIComponent(generationId)}/stop`, {}),
    answer: (generationId) => get(`chat/${encodeURIComponent(generationId)}`),
    conversation: (id) => get(`conversations/${encodeURIComponent(id)}`),
  };
}

/** fetch with the token in its head. */
function sender(fetch, getToken) {
  if (!getToken) return fetch;
  let token = '';

  async function attempt(url, request, refused) {
    if (refused || !token) token = await tokenOf(getToken, refused);
    return fetch(url, token ? { ...request, headers: { ...request.headers, Authorization: `Bearer ${token}` } } : request);
  }

  return async (url, request) => {
    const response = await attempt(url, request, false);
    return response.status === 401 ? attempt(url, request, true) : response; // refused at the door: nothing was done
  };
}

async function tokenOf(getToken, refused) {
  try {
    return await getToken({ refused });
  } catch (error) {
    console.error('Deltahub: getToken failed, so the chat has no token to show.', error);
    throw new CallFailed({ status: 401, code: 'unauthorized', detail: error?.message });
  }
}

async function call(send, url, request) {
  try {
    const response = await send(url, { ...request, cache: 'no-store', signal: AbortSignal.timeout(PATIENCE) });
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
  const requestId = response.headers.get('X-Request-ID') ?? '';
  const said = { code: code ?? fallback, detail: detail ?? title ?? '', field: field ?? '', requestId };
  return new CallFailed({ status: response.status, ...said });
}
