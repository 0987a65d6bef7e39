/**
 * What a host page is told of the chat: the difference between two states, as events. Pure. Used by the widget's panel.
 *
 *     message {role: 'user' | 'assistant' | 'system', text, generationId}   said, whole
 *     delta   {generationId, text, replaced}   text that came; `replaced`: in the place of all there was
 *     error   {code, message, generationId}    a question that was not sent, an answer that failed
 *     status  {state, reason}                  of the stream
 */

import { isOver } from './state.js';

/** [[type, detail], …], in the order they happened as far as can be told. */
export function differences(before, after) {
  const told = [];
  if (before.link.state !== after.link.state) told.push(['status', { state: after.link.state, reason: after.link.reason }]);
  if (before.loading || after.loading || before.turns === after.turns) return told; // what was said before is no news
  const known = new Map(before.turns.map((turn) => [turn.key, turn]));
  for (const turn of after.turns) {
    const was = known.get(turn.key);
    if (was !== turn) told.push(...TELLERS[turn.kind](was, turn));
  }
  return told;
}

const TELLERS = {
  question(was, { sending, content, generationId, problem }) {
    if (!was || was.sending === sending) return [];
    if (sending === 'sent') return [['message', { role: 'user', text: content, generationId }]];
    return sending === 'failed' ? [['error', { code: problem.code, message: problem.detail, generationId }]] : [];
  },

  answer(was, answer) {
    const { content, generationId, phase, code, message } = answer;
    const told = [];
    const isSame = was && was.rewritten === answer.rewritten;
    const text = isSame ? content.slice(was.content.length) : content;
    if (text) told.push(['delta', { generationId, text, replaced: Boolean(was) && !isSame }]);
    if (!isOver(answer) || !was || isOver(was)) return told;
    if (phase === 'failed') told.push(['error', { code, message, generationId }]);
    else told.push(['message', { role: 'assistant', text: content || answer.refusal, generationId }]);
    return told;
  },

  line: (was, { text }) => (was ? [] : [['message', { role: 'system', text, generationId: '' }]]),
};
