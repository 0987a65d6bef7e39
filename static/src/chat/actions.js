/**
 * How the state changes by what the reader does and by what the server answers to the page's own calls.
 * Pure, like state.js, whose shapes it uses. Each function takes a state and gives the next one.
 */

import {
  findAnswer, inLine, isAccepted, isOver, isRunning, leaving, needing, newAnswer, newQuestion, strange, wholeText,
  withTurn,
} from './state.js';
import { isLine, withLines } from './lines.js';

/**
 * A question is on its way. `again`: the generationId of one that was not sent, whose place it takes; `from`: of the
 * one that it takes the place of together with all that follows it.
 */
export function asked(state, { generationId, content, again = '', from = '' }) {
  const start = from ? state.turns.findIndex((turn) => turn.generationId === from) : Infinity;
  const goes = (turn, index) => turn.kind !== 'line' && (index >= start || (again && turn.generationId === again));
  const gone = state.turns.filter(goes);
  const replaced = gone.flatMap((turn) => (turn.sending === 'failed' ? turn.replaced : [turn]));
  const question = { ...newQuestion(generationId, content, 'sending'), replaced };
  const kept = state.turns.filter((turn) => !gone.includes(turn));
  return { ...state, turns: [...kept, question, newAnswer(generationId)] };
}

/** The POST was answered with 201, or 200 for one that had arrived before. The reader may have left for a new chat. */
export function accepted(state, { generationId, conversationId }) {
  if (!state.turns.some((turn) => turn.key === `${generationId}?`)) return leaving(state, conversationId, generationId);
  const next = withTurn(state, `${generationId}?`, { sending: 'sent', problem: null, replaced: [] });
  return { ...next, conversationId, lost: false };
}

/** The POST failed, as far as the page can tell: if the answer waits or has begun, it has arrived after all. */
export function refused(state, { generationId, problem }) {
  const answer = findAnswer(state, generationId);
  if (!answer || isAccepted(state, answer)) return state;
  const turns = state.turns.filter((turn) => turn !== answer);
  const next = withTurn({ ...state, turns }, `${generationId}?`, { sending: 'failed', problem });
  return problem.status === 404 ? { ...next, conversationId: '', lost: true } : next;
}

/** The reader gives up a question that was not sent: what it was to take the place of comes back. */
export function discarded(state, { generationId }) {
  const given = (turn) => (turn.generationId === generationId ? (turn.replaced ?? []) : [turn]);
  return { ...state, turns: state.turns.flatMap(given) };
}

export function stopping(state, { generationId, stopping: value = true }) {
  return withTurn(state, generationId, { stopping: value });
}

export function dismissed(state, { key }) {
  return { ...state, notices: state.notices.filter((notice) => notice.key !== key) };
}

/** A new chat: what runs goes on, on the server and in other tabs. */
export function left(state) {
  const ids = state.turns.filter(isRunning).map((turn) => turn.generationId);
  const kept = leaving(state, state.conversationId, ...ids);
  return taken({ ...kept, conversationId: '', turns: [], lost: false, loading: false });
}

/** The lines that this browser has kept. */
export function recalled(state, { lines }) {
  return { ...state, turns: withLines(state.turns, Array.isArray(lines) ? lines : []) };
}

/** All that there is has been loaded. */
export function ready(state) {
  return state.loading ? { ...state, loading: false } : state;
}

/** The needs were seen to; what is found comes as `loaded`, `answered` or `missing`. */
export function taken(state) {
  return { ...state, needs: { conversation: false, answers: [] } };
}

/**
 * `GET conversations/<id>`: the turns as the server has them, and behind them what it does not know.
 * `since`: when the last answer this browser asked for began, {generationId: ms or null}, as far as it remembers.
 */
export function loaded(state, { conversation, since = {} }) {
  const running = conversation.generations ?? [];
  const messages = conversation.messages.filter(({ role }) => role === 'user' || role === 'assistant');
  const openId = running[0] ?? lastAsked(since, messages);
  const turns = messages.map((message, index) => asTurn(state, message, idOf(messages, index, openId)));
  const isOpen = running.length > 0 || turns.at(-1)?.kind === 'question';
  if (running.length) turns.push(ofRunning(state, openId, since[openId] ?? null));
  else if (isOpen) turns.push(unanswered(state, turns.at(-1).generationId));
  const known = new Set(turns.map((turn) => turn.key));
  const rest = state.turns.filter((turn) => !known.has(turn.key) && isOurs(state, turn));
  const shown = withLines([...turns, ...rest.filter((turn) => !isLine(turn))], rest.filter(isLine));
  const next = { ...state, conversationId: conversation.id, turns: shown, loading: false, lost: false };
  return needing(next, { answers: isOpen && openId ? [openId] : [] });
}

/** The generationId of a message. A question has that of the answer after it: on the server it has none of its own. */
function idOf(messages, index, openId) {
  const isQuestion = messages[index].role === 'user';
  const answer = messages[isQuestion ? index + 1 : index];
  const nameless = `stored${isQuestion ? index : index - 1}`;
  if (!answer) return openId || nameless;
  return (answer.role === 'assistant' && answer.generationId) || nameless;
}

/** What this browser asked last, if its answer is not among the messages. */
function lastAsked(since, messages) {
  return Object.keys(since).find((id) => !messages.some((message) => message.generationId === id)) ?? '';
}

/** Not on the server and still worth showing: lines, and questions that never reached it with their answers to be. */
const isOurs = (state, turn) => turn.kind === 'line' || !isAccepted(state, turn);

function asTurn(state, message, id) {
  const content = textOf(message);
  if (message.role === 'user') return newQuestion(id, content);
  const known = findAnswer(state, id) ?? newAnswer(id, { attempt: 1 });
  // What this page watched to its end it knows better than the list: figures, and how long it thought.
  if (isOver(known) && known.content === content) return known;
  return { ...known, ...wholeText(known, { ...message, content }, null), ...outcome(message), stopping: false };
}

/** `content` may also be a list of parts, for those who ask with pictures. */
function textOf({ content }) {
  return Array.isArray(content) ? content.map((part) => part?.text ?? '').join('') : (content ?? '');
}

/** It runs or waits in line; which, only that answer itself tells. */
const ofRunning = (state, id, startedAt) => findAnswer(state, id) ?? newAnswer(id, { startedAt });

/** The server keeps no answer without a word; why there is none it may still tell when asked for that answer. */
function unanswered(state, id) {
  const known = findAnswer(state, id);
  if (known && isOver(known)) return known;
  return newAnswer(id, { attempt: 1, phase: 'failed', code: 'unanswered', retryable: true });
}

function outcome({ state = 'done', reason = '', code = '', message = '', retryable, usage, timing, model }) {
  const phase = state === 'error' || code ? 'failed' : 'done';
  const said = state === 'stopped' ? 'stopped' : reason;
  return {
    phase, reason: said, code, message, retryable: retryable !== false,
    usage: usage ?? null, timing: timing ?? null, model: model ?? '', unsure: false,
  };
}

/** `GET chat/<generationId>`: one answer as it stood at one instant. */
export function answered(state, { answer, at }) {
  const { generationId, conversationId, seq = 0 } = answer;
  const known = findAnswer(state, generationId);
  if (!known) return strange(state, answer);
  const hasEnded = answer.state === 'done' || answer.state === 'error';
  // The stream was faster than this reply.
  if (!hasEnded && (isOver(known) || seq < known.seq)) return state;
  if (answer.state === 'queued') return waiting(state, known, answer);
  const attempt = Math.max(answer.attempt ?? 1, known.attempt);
  const next = { ...wholeText(known, answer.data ?? {}, at), seq, attempt, unsure: false };
  if (hasEnded) Object.assign(next, outcome(answer), { stopping: false });
  return withTurn({ ...state, conversationId: state.conversationId || conversationId }, known.key, next);
}

function waiting(state, known, { conversationId, position }) {
  if (known.attempt > 0) return state; // it has started since
  const adopted = { ...state, conversationId: state.conversationId || conversationId };
  return withTurn(adopted, known.key, { ...inLine(position), unsure: false });
}

/** 404: the server does not know the conversation, or the answer. What is on the screen stays. */
export function missing(state, { conversation = false, generationId = '' }) {
  if (generationId && !findAnswer(state, generationId)) return leaving(state, generationId);
  const isMeant = (turn) => conversation || turn.generationId === generationId;
  const isGone = (turn) => isRunning(turn) && isAccepted(state, turn) && isMeant(turn);
  const interrupted = { phase: 'failed', code: 'interrupted', message: '', retryable: true, stopping: false };
  const turns = state.turns.map((turn) => (isGone(turn) ? { ...turn, ...interrupted } : turn));
  return conversation ? { ...state, turns, conversationId: '', lost: true, loading: false } : { ...state, turns };
}

/** The stream's status as source.js tells it. Trouble is counted from the first moment it was not open. */
export function linked(state, { status, at }) {
  const isOpen = status.state === 'open';
  const link = {
    state: status.state,
    troubledAt: isOpen ? null : (state.link.troubledAt ?? at),
    retryAt: status.retryInMs === null ? null : at + status.retryInMs,
    reason: isOpen ? '' : status.reason || state.link.reason,
  };
  return { ...state, link };
}

/** The messages up to and with the question of `generationId`, as `POST chat` takes them. */
export function history(state, generationId) {
  const until = state.turns.findIndex((turn) => turn.kind === 'question' && turn.generationId === generationId);
  const isSaid = ({ kind, content, sending }) => kind !== 'line' && content !== '' && sending !== 'failed';
  const turns = state.turns.slice(0, until + 1).filter(isSaid);
  return turns.map(({ kind, content }) => ({ role: kind === 'question' ? 'user' : 'assistant', content }));
}
