/**
 * What `data-debug` shows to whoever puts the widget on a page: each thing that it needs, and in a sentence what to do
 * where it is missing. Touches the network and the place it is given. Loaded by panel.js only when asked for.
 */

import { make } from '../chat/text.js';

const SENTENCES = {
  en: {
    title: 'Self-check',
    options: 'Options: all understood.',
    mixed: 'Address: this page is on https and the hub on http, which browsers do not allow. Serve the hub by https.',
    address: 'Address: {hub} can be asked from this page.',
    down: 'Hub: no answer from {hub}. Is it running, and may this network reach it? A connect-src of this page’s policy that leaves it out looks the same.',
    up: 'Hub: it answers, in {ms} ms.',
    refused: 'Origin: the hub does not allow {origin}. Start it with CORS_ORIGINS={origin}',
    allowed: 'Origin: {origin} is allowed.',
    noToken: 'Token: none is asked for.',
    token: 'Token: getToken gave one.',
    badToken: 'Token: getToken failed: {why}',
    stream: 'Stream: the first event came after {ms} ms.',
    slow: 'Stream: the head came and no event within 5 s. A proxy before the hub holds answers back: switch its buffering off.',
    noStream: 'Stream: {why}',
  },
  zh: {
    title: '自检',
    options: '选项：全部有效。',
    mixed: '地址：本页使用 https，而服务器使用 http，浏览器不允许。请让服务器使用 https。',
    address: '地址：本页可以访问 {hub}。',
    down: '服务器：{hub} 没有响应。它在运行吗？网络能到达吗？本页安全策略的 connect-src 未包含它时也是如此。',
    up: '服务器：{ms} 毫秒内有响应。',
    refused: '来源：服务器不允许 {origin}。启动时请设置 CORS_ORIGINS={origin}',
    allowed: '来源：{origin} 已获准。',
    noToken: '令牌：无需令牌。',
    token: '令牌：getToken 已给出。',
    badToken: '令牌：getToken 失败：{why}',
    stream: '数据流：{ms} 毫秒后收到第一个事件。',
    slow: '数据流：收到响应头后 5 秒内没有事件。服务器前的代理缓存了响应，请关闭其缓冲。',
    noStream: '数据流：{why}',
  },
};

/** Draws the list behind `after` and fills it in. */
export async function runChecks({ host, base, t, complaints, after, getToken }) {
  const words = SENTENCES[t.language.startsWith('zh') ? 'zh' : 'en'];
  const list = make('ul', { class: 'checks', 'aria-label': words.title, tabindex: '0' });
  after.after(list);
  const hub = new URL(base).origin;
  const say = (verdict, key, places = {}) => {
    const text = (words[key] ?? key).replace(/\{(\w+)\}/g, (_, name) => String({ hub, origin: location.origin, ...places }[name] ?? ''));
    list.append(make('li', { 'data-verdict': verdict, text }));
    return verdict === 'good';
  };
  for (const complaint of complaints) say('bad', complaint);
  if (!complaints.length) say('good', 'options');
  const isFine = checkAddress(hub, say) && await checkHub(base, say) && await checkOrigin(base, say);
  const token = isFine && await checkToken(getToken, say);
  if (isFine) await checkStream(base, token, say);
  host.dispatchEvent(new CustomEvent('checked', { detail: [...list.children].map((item) => [item.dataset.verdict, item.textContent]) }));
}

const get = (url, more) => fetch(url, { cache: 'no-store', credentials: 'omit', signal: AbortSignal.timeout(5_000), ...more });

function checkAddress(hub, say) {
  const isMixed = location.protocol === 'https:' && hub.startsWith('http:') && !/^http:\/\/(localhost|127\.|\[::1\])/.test(hub);
  return isMixed ? say('bad', 'mixed') : say('good', 'address');
}

async function checkHub(base, say) {
  const started = performance.now();
  const isThere = await get(`${base}/healthz`, { mode: 'no-cors' }).then(() => true, () => false);
  return isThere ? say('good', 'up', { ms: Math.round(performance.now() - started) }) : say('bad', 'down');
}

async function checkOrigin(base, say) {
  const mayRead = await get(`${base}/healthz`).then(({ ok }) => ok, () => false);
  return mayRead ? say('good', 'allowed') : say('bad', 'refused');
}

async function checkToken(getToken, say) {
  try {
    const token = await getToken({ refused: false });
    say('good', token ? 'token' : 'noToken');
    return token;
  } catch (error) {
    say('bad', 'badToken', { why: error.message });
    return '';
  }
}

/** A stream of a client that is made for this and forgotten by the hub. */
async function checkStream(base, token, say) {
  const started = performance.now();
  const leaving = new AbortController();
  const timer = setTimeout(() => leaving.abort(), 5_000);
  let hasHead = false;
  try {
    const headers = token ? { Authorization: `Bearer ${token}` } : {};
    const response = await get(`${base}/sse/createConnect`, { headers, signal: leaving.signal });
    if (!response.ok) throw new Error(`status ${response.status}`);
    hasHead = true;
    await response.body.getReader().read();
    say('good', 'stream', { ms: Math.round(performance.now() - started) });
  } catch (error) {
    if (hasHead) say('bad', 'slow');
    else say('bad', 'noStream', { why: error.message });
  } finally {
    clearTimeout(timer);
    leaving.abort();
  }
}
