/**
 * Draws the state, at most once a frame, touching only what differs. Knows the frame's elements and the texts.
 * Holds no state of its own but what is on the screen; what the reader does goes to `on`.
 */

import { Comeback } from './comeback.js';
import { isRunning, runningAnswers } from './state.js';
import { label, make } from './text.js';
import { makeTurn } from './turns.js';

const PATIENCE = 3_000; // ms of trouble that a reader is not bothered with
const TICK = 500;
const EXPLAINED = new Set(['overloaded', 'shutdown', 'origin', 'policy']); // reasons to be away that are known
const FIXED = new Set(['origin', 'policy']); // no wait mends these, so nobody is told to wait

/** Whether the trouble with the link is worth a word. */
export const isTroubled = ({ link }, now) => link.troubledAt !== null && now - link.troubledAt >= PATIENCE;

/** elements: see frame.js; renderer: see prose.js; level: of the headings of turns. */
export function createView({ elements, t, level, renderer, on, follow, composer, hint, announcer, now = Date.now }) {
  const tools = { t, level, renderer };
  const turns = new Map(); // key → what makeTurn gave
  const notices = new Map(); // key → element
  const comeback = new Comeback();
  let state = null;
  let wasEmpty = true;
  let frame = 0;
  let timer = 0;

  function draw() {
    frame = 0;
    const at = now();
    const troubled = isTroubled(state, at);
    drawTurns(at, troubled);
    drawNotices();
    const link = linkAt(at, troubled);
    drawBanner(link);
    drawAround();
    announcer.update(state, link);
    follow.keep();
    tick(link);
  }

  function drawTurns(at, troubled) {
    const last = state.turns.findLast((turn) => turn.kind === 'answer');
    const keys = new Set();
    let before = null;
    for (const turn of state.turns) {
      keys.add(turn.key);
      const part = turns.get(turn.key) ?? makeTurn(turn, tools, on);
      turns.set(turn.key, part);
      const place = before ? before.nextSibling : elements.log.firstChild;
      if (place !== part.element) elements.log.insertBefore(part.element, place);
      if (part.drawn !== turn || isRunning(turn) || part.wasLast !== (turn === last)) {
        part.update(turn, { now: at, isOnline: !troubled, isLast: turn === last });
        Object.assign(part, { drawn: turn, wasLast: turn === last });
      }
      before = part.element;
    }
    drop(turns, keys, (part) => part.element);
  }

  /** All turns anew: what they are drawn with has changed. */
  function redraw() {
    for (const part of turns.values()) part.drawn = null;
    if (state) schedule();
  }

  function drawNotices() {
    for (const notice of state.notices) {
      if (notices.has(notice.key)) continue;
      const element = makeNotice(notice, t, () => on.dismiss(notice.key));
      notices.set(notice.key, element);
      elements.notices.append(element);
    }
    drop(notices, new Set(state.notices.map(({ key }) => key)), (element) => element);
  }

  /** What there is to say of the link: `kind` is '', 'lost' or 'back'; of 'back' it is told once it is certain. */
  function linkAt(at, troubled) {
    const back = comeback.look(state, troubled, at);
    if (troubled) return { kind: 'lost', words: linkInWords(t, state.link, at), isShown: true };
    return { kind: back?.isSure ? 'back' : '', words: back ? backInWords(t, back) : '', isShown: back !== null };
  }

  function drawBanner({ kind, words, isShown }) {
    elements.banner.hidden = !isShown;
    if (!isShown) return;
    const isClosed = state.link.state === 'closed';
    label(elements.bannerText, words);
    label(elements.bannerTry, t(isClosed ? 'link.again' : 'link.try'));
    elements.bannerTry.hidden = kind !== 'lost' || (!isClosed && state.link.retryAt === null);
    elements.banner.dataset.reason = kind === 'lost' ? state.link.reason : 'back';
  }

  function drawAround() {
    const isEmpty = state.turns.length === 0;
    if (isEmpty !== wasEmpty) follow.turn(!isEmpty);
    wasEmpty = isEmpty;
    elements.empty.hidden = !isEmpty || state.loading;
    elements.loading.hidden = !(isEmpty && state.loading);
    elements.lost.hidden = !state.lost || isEmpty;
    const isBusy = runningAnswers(state).length > 0;
    elements.log.setAttribute('aria-busy', String(isBusy));
    composer.setBusy(isBusy);
    hint.setBusy(isBusy);
  }

  /** Seconds that run on the screen: drawn again while there are any. */
  function tick({ isShown }) {
    clearTimeout(timer);
    if (isShown || state.link.troubledAt !== null || state.turns.some(isRunning)) timer = setTimeout(schedule, TICK);
  }

  function schedule() {
    frame ||= requestAnimationFrame(draw); // a page behind others draws nothing, and needs not
  }

  return {
    show(next) {
      state = next;
      schedule();
    },

    redraw,

    close() {
      clearTimeout(timer);
      cancelAnimationFrame(frame);
      for (const part of turns.values()) part.close?.();
    },
  };
}

function drop(shown, keys, elementOf) {
  for (const [key, part] of shown) {
    if (keys.has(key)) continue;
    elementOf(part).remove();
    part.close?.();
    shown.delete(key);
  }
}

function makeNotice({ level, text }, t, dismiss) {
  const called = { 'aria-label': t('notice.dismiss'), text: '×' };
  const close = make('button', { type: 'button', class: 'button close', ...called, on: { click: dismiss } });
  const name = make('strong', { text: t(`notice.${level}`) });
  const role = level === 'critical' ? 'alert' : 'status';
  const words = make('span', { class: 'words', dir: 'auto', text });
  return make('div', { class: 'notice', role, 'data-level': level }, name, words, close);
}

const backInWords = (t, { count }) => (count ? t.plural('link.back', count) : t('link.back'));

/** What is wrong with the link, and when it is tried again. */
function linkInWords(t, { state, retryAt, reason }, at, isOnLine = navigator.onLine) {
  if (state === 'closed') {
    const status = Number(reason.replace('http_', ''));
    if (status === 401) return t('call.unauthorized');
    return status >= 400 ? t('link.refused', { status }) : t('link.closed');
  }
  if (FIXED.has(reason)) return t(`link.${reason}`, { origin: location.origin });
  if (!isOnLine) return t('link.offline');
  if (retryAt === null) return t('link.connecting');
  const seconds = t.seconds(Math.max(1, Math.ceil((retryAt - at) / 1_000)) * 1_000);
  return t(EXPLAINED.has(reason) ? `link.${reason}` : 'link.waiting', { seconds });
}
