/**
 * What the chat shows, and how each event of the server's stream changes it (docs/protocol.md §2).
 * Pure: `receive` takes a state and an event and gives the next state. What the reader does is in actions.js.
 *
 * state = {
 *   conversationId           '' until the first question was accepted
 *   turns                    in the order shown, each with a stable `key`:
 *     {kind: 'question', generationId, content, sending: 'sending' | 'sent' | 'failed', problem,
 *      replaced}            the turns that it takes the place of, until the server has it
 *     {kind: 'answer', generationId, content, reasoning, refusal, tools, seq, attempt, rewritten, phase,
 *      position, startedAt, textAt, reason, code, message, retryable, usage, timing, model, stopping, unsure}
 *     {kind: 'line', text, after}    see lines.js
 *   notices                  [{key, level, text}], broadcasts that were not dismissed
 *   elsewhere                ids of conversations and generations that this page does not show
 *   needs                    {conversation, answers}: what to ask the server for, since the stream cannot tell
 *   loading, lost            the conversation is being fetched; the server no longer has it
 *   link                     {state, troubledAt, retryAt, reason}: how the stream is
 * }
 *
 * phase: connecting → queued → thinking → writing → done | failed. `rewritten` counts how often the text was
 * replaced and not only added to. `startedAt` (the wait in line is over) and `textAt` are the page's own clock, ms.
 */

const LEVELS = ['info', 'warning', 'critical'];
const MOST_NOTICES = 5;
const MOST_ELSEWHERE = 200;

export function emptyState() {
  return {
    conversationId: '', turns: [], notices: [], elsewhere: [],
    needs: { conversation: false, answers: [] }, loading: true, lost: false,
    link: { state: 'connecting', troubledAt: null, retryAt: null, reason: '' },
  };
}

export function newQuestion(generationId, content, sending = 'sent') {
  return { kind: 'question', key: `${generationId}?`, generationId, content, sending, problem: null, replaced: [] };
}

export function newAnswer(generationId, more = {}) {
  return {
    kind: 'answer', key: generationId, generationId, content: '', reasoning: '', refusal: '', tools: [],
    seq: 0, attempt: 0, rewritten: 0, phase: 'connecting', position: 0, startedAt: null, textAt: null,
    reason: '', code: '', message: '', retryable: false, usage: null, timing: null, model: '',
    stopping: false, unsure: false, ...more,
  };
}

export const isOver = (answer) => answer.phase === 'done' || answer.phase === 'failed';

/** The server is at work on it: it was accepted, and has not ended. */
export const isRunning = (answer) => answer.kind === 'answer' && !isOver(answer);

/** The server has its question, as far as the page knows: asked for it, it can tell what became of it. */
export const isAccepted = (state, { generationId }) =>
  (state.turns.find((turn) => turn.key === `${generationId}?`)?.sending ?? 'sent') === 'sent';

export const findAnswer = (state, generationId) =>
  state.turns.find((turn) => turn.kind === 'answer' && turn.generationId === generationId);

export const runningAnswers = (state) => state.turns.filter(isRunning);

/** `state` with the changes in the turn of that key. */
export function withTurn(state, key, changes) {
  return { ...state, turns: state.turns.map((turn) => (turn.key === key ? { ...turn, ...changes } : turn)) };
}

/** `state` that has to ask the server for these. */
export function needing(state, { conversation = false, answers = [] }) {
  const needs = {
    conversation: state.needs.conversation || conversation,
    answers: [...new Set([...state.needs.answers, ...answers])],
  };
  return { ...state, needs };
}

export const hasNeeds = ({ needs }) => needs.conversation || needs.answers.length > 0;

/** `state` that leaves these conversations and generations to other tabs. */
export function leaving(state, ...ids) {
  const elsewhere = [...new Set([...state.elsewhere, ...ids.filter(Boolean)])];
  return { ...state, elsewhere: elsewhere.slice(-MOST_ELSEWHERE) };
}

/** `state` that met an answer whose question it does not show: the conversation may tell it, if it is this one. */
export function strange(state, { generationId, conversationId }) {
  const isHere = Boolean(conversationId) && conversationId === state.conversationId;
  // Noted as not shown in either case: asked for once, not at each of its deltas.
  return needing(leaving(state, generationId), { conversation: isHere });
}

/** The next state. `event` is one event's JSON with its `place`, '' for none, or `{type: '[DONE]'}`; `at` when it came, ms. */
export function receive(state, event, at = Date.now()) {
  const handler = Object.hasOwn(handlers, event.type) ? handlers[event.type] : null;
  return handler ? handler(state, event, at) : state; // [protocol §2] unknown types are for newer pages
}

const handlers = {
  connected: (state) => ({ ...state, link: { ...state.link, reason: '' } }),

  /** The cursor was not honoured: something may be missing anywhere in what is shown. */
  reset(state) {
    const turns = state.turns.map((turn) => (isRunning(turn) ? { ...turn, unsure: true } : turn));
    return needing({ ...state, turns }, { conversation: true });
  },

  snapshot(state, event, at) {
    const known = findAnswer(state, event.generationId);
    if (!known) return strange(state, event);
    if (isOver(known) || event.seq < known.seq) return state;
    // Text proves that it has started, also where `started` itself was handed to another link.
    const attempt = Math.max(known.attempt, 1);
    const fresh = { ...wholeText(known, event.data, at), seq: event.seq, attempt, unsure: false };
    return withTurn(state, known.key, fresh);
  },

  queued(state, event) {
    const known = findAnswer(state, event.generationId);
    // Of another tab. It doesn't say in which conversation; an empty page goes along when it has started.
    if (!known) return state.conversationId ? unknown(state, event) : state;
    // [protocol §4] Never after `started`: this one was overtaken by what the server told when asked.
    if (isOver(known) || known.attempt > 0) return state;
    return accepted(withTurn(state, known.key, inLine(event.position)), known.generationId);
  },

  started(state, event, at) {
    const known = findAnswer(state, event.generationId);
    if (!known) return begun(state, event, at);
    if (isOver(known) || event.attempt <= known.attempt) return state;
    const fresh = { attempt: event.attempt, model: event.model ?? '', startedAt: known.startedAt ?? at };
    // [protocol §2] `attempt` > 1: the text starts over; `seq` goes on.
    if (event.attempt > 1) Object.assign(fresh, cleared(known));
    if (!known.content || event.attempt > 1) fresh.phase = 'thinking';
    const adopted = { ...state, conversationId: state.conversationId || event.conversationId };
    return accepted(withTurn(adopted, known.key, fresh), event.generationId);
  },

  delta(state, event, at) {
    const known = findAnswer(state, event.generationId);
    if (!known) return unknown(state, event);
    if (isOver(known) || event.seq <= known.seq) return state; // read before, in a GET or over another link
    const first = event.first ?? event.seq; // of several that the server merged, since this page lagged
    const fits = first === known.seq + 1;
    // Where a part of it was read before, adding it would double that part.
    const text = first <= known.seq ? {} : { ...moreText(known, event.data, at), seq: event.seq };
    const next = withTurn(state, known.key, { ...text, unsure: known.unsure || !fits });
    // What is missing, the server knows: ask it now, and at the end once more if that came too late; not at
    // every jump, which a slow line could not bear.
    return !fits && !known.unsure ? needing(next, { answers: [known.generationId] }) : next;
  },

  done: (state, event) => ended(state, event, {
    phase: 'done', reason: event.reason, usage: event.usage ?? null, timing: event.timing ?? null,
    ...(event.model ? { model: event.model } : {}),
  }),

  error: (state, event) => ended(state, event, {
    phase: 'failed', code: event.code, message: event.message ?? '', retryable: event.retryable !== false,
  }),

  /** [protocol §2] After this nothing of the client runs: what looks as if it did was missed. */
  '[DONE]'(state) {
    const missed = runningAnswers(state).filter((answer) => isAccepted(state, answer));
    return missed.length ? needing(state, { answers: missed.map((answer) => answer.generationId) }) : state;
  },

  message(state, event, at) {
    const key = `line${event.place || `${at}.${state.turns.length}`}`;
    if (state.turns.some((turn) => turn.key === key)) return state; // kept from before a reload, and sent again
    const after = state.turns.findLast(({ kind }) => kind !== 'line')?.key ?? '';
    return { ...state, turns: [...state.turns, { kind: 'line', key, text: inWords(event.data), after }] };
  },

  broadcast(state, event, at) {
    const level = LEVELS.includes(event.level) ? event.level : 'info';
    const notice = { key: `notice${at}.${state.notices.length}`, level, text: inWords(event.data) };
    return { ...state, notices: [...state.notices, notice].slice(-MOST_NOTICES) };
  },

  overloaded: (state) => ({ ...state, link: { ...state.link, reason: 'overloaded' } }),

  closing: (state, event) => ({ ...state, link: { ...state.link, reason: event.reason ?? '' } }),
};

/** The changes that put an answer in line. The time to think has not begun. */
export function inLine(position) {
  return { phase: 'queued', position, startedAt: null };
}

/** An answer began that this page did not ask for: another tab of the same client did. */
function begun(state, event, at) {
  if (isElsewhere(state, event)) return leaving(state, event.generationId);
  const { generationId } = event;
  const answer = newAnswer(generationId, {
    attempt: event.attempt, model: event.model ?? '', phase: 'thinking', startedAt: at,
  });
  const content = event.data?.content ?? '';
  const hasQuestion = state.turns.some((turn) => turn.kind === 'question' && turn.generationId === generationId);
  const asked = () => [...withoutRepeated(state.turns, content), newQuestion(generationId, content)];
  const turns = hasQuestion ? state.turns : asked();
  const next = { ...state, conversationId: event.conversationId, turns: [...turns, answer] };
  // It may have been put in the place of an earlier one, which only the conversation tells.
  return needing(accepted(next, generationId), { conversation: turns.length > 1 });
}

/** A question asked again replaces the one whose answer failed, as it does on the server. */
function withoutRepeated(turns, content) {
  const [question, answer] = turns.slice(-2);
  const repeated = answer?.phase === 'failed' && question.kind === 'question' && question.content === content;
  return repeated ? turns.slice(0, -2) : turns;
}

/** An empty page goes along with the conversation that another tab began, unless its reader has left that one. */
function isElsewhere(state, { generationId, conversationId }) {
  if (state.elsewhere.includes(generationId) || state.elsewhere.includes(conversationId)) return true;
  if (state.conversationId) return conversationId !== state.conversationId;
  const asked = state.turns.filter((turn) => turn.kind !== 'line');
  return asked.length > 0 && !asked.some((turn) => turn.generationId === generationId);
}

/** The server has the question, whatever became of the reply to its POST. */
function accepted(state, generationId) {
  return withTurn(state, `${generationId}?`, { sending: 'sent', problem: null, replaced: [] });
}

function unknown(state, { generationId }) {
  return state.loading || state.elsewhere.includes(generationId) ? state : needing(state, { answers: [generationId] });
}

function ended(state, event, changes) {
  const known = findAnswer(state, event.generationId);
  if (!known) return unknown(state, event);
  if (isOver(known)) return state; // [protocol §2] exactly one terminal event
  const next = withTurn(state, known.key, { ...changes, stopping: false });
  const isWhole = !known.unsure && (event.seq ?? known.seq) === known.seq;
  return isWhole ? next : needing(next, { answers: [known.generationId] });
}

function cleared(known) {
  const hadText = known.content || known.reasoning || known.refusal;
  const rewritten = known.rewritten + (hadText ? 1 : 0);
  return { content: '', reasoning: '', refusal: '', tools: [], textAt: null, rewritten };
}

function moreText(known, data, at) {
  const text = {
    content: known.content + (data.content ?? ''),
    reasoning: known.reasoning + (data.reasoning ?? ''),
    refusal: known.refusal + (data.refusal ?? ''),
    tools: withTools(known.tools, data.tool_calls),
  };
  return { ...text, ...progress(known, text, at) };
}

/** The changes that make a known answer's text that of `data`, the whole message. */
export function wholeText(known, data, at) {
  const text = {
    content: data.content ?? '', reasoning: data.reasoning ?? '', refusal: data.refusal ?? '',
    tools: withTools([], data.tool_calls),
  };
  const grew = ['content', 'reasoning', 'refusal'].every((field) => text[field].startsWith(known[field]));
  return { ...text, ...progress(known, text, at), rewritten: known.rewritten + (grew ? 0 : 1) };
}

function progress(known, text, at) {
  const hasText = Boolean(text.content || text.refusal);
  const textAt = hasText ? (known.textAt ?? at) : null;
  return { phase: hasText ? 'writing' : 'thinking', startedAt: known.startedAt ?? at, textAt };
}

/** The tools asked for, {index, name, given}. A call's name comes in its first piece, what it is given in any of them. */
function withTools(tools, calls) {
  const pieces = (Array.isArray(calls) ? calls : []).filter((call) => call?.function);
  return pieces.reduce((known, { index, function: { name = '', arguments: more = '' } }) => {
    const at = known.findLastIndex((tool) => index !== undefined && tool.index === index);
    const isNext = at < 0 || (name && known[at].given); // some servers give each call the same index
    if (isNext) return name ? [...known, { index, name, given: more }] : known;
    return known.with(at, { ...known[at], given: known[at].given + more });
  }, tools);
}

/** `data` of a message is any JSON; people read its text. */
function inWords(data) {
  const text = data?.text ?? data?.message ?? data;
  return typeof text === 'string' ? text : JSON.stringify(text);
}
