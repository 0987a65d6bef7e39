/**
 * What a screen reader is told, each once: the place of a question in line, that its answer is being written, at the
 * end what it says, what was not sent, what the server pushed, and when the connection is lost and is back. Touches one polite status element: the log itself is
 * silent, or every token would be read out.
 */

import { isLine } from './lines.js';
import { findAnswer, isOver, isRunning } from './state.js';
import { callInWords, errorInWords } from './turns.js';

const MOST_OF_A_LINE = 1_000; // characters

export function createAnnouncer(element, t) {
  let watched = ''; // generationId
  let told = ''; // of the watched one: '', 'queued' or 'answering'
  let toldOfLink = ''; // '', 'lost' or 'back'
  let unsent = ''; // the key of the question that was told to be so
  let line = null; // the key of the last one; null before the conversation is there

  const say = (text) => { element.textContent = text; };

  /** Whether there was something to say. */
  function answerIn(state) {
    const answer = findAnswer(state, watched);
    if (answer && isOver(answer)) {
      watched = '';
      say(endOf(answer, t));
      return true;
    }
    const running = state.turns.findLast(isRunning);
    if (!running) return false;
    if (running.generationId !== watched) told = '';
    watched = running.generationId;
    return tell(running);
  }

  /** Nothing before the server has said whether it must wait, and its place once: it may change every second. */
  function tell({ phase, position }) {
    const stage = { connecting: '', queued: 'queued' }[phase] ?? 'answering';
    if (!stage || stage === told) return false;
    told = stage;
    say(stage === 'queued' ? t('phase.queued', { position }) : t('say.answering'));
    return true;
  }

  function failedIn({ turns }) {
    const last = turns.findLast(({ kind }) => kind === 'question');
    const before = unsent;
    unsent = last?.sending === 'failed' ? last.key : '';
    if (!unsent || unsent === before) return false;
    say(`${t('question.failed')}. ${callInWords(t, last.problem)}`);
    return true;
  }

  function lineIn({ turns, loading }) {
    if (loading) return false;
    const last = turns.findLast(isLine);
    const isNews = line !== null && last && last.key !== line;
    line = last?.key ?? '';
    if (isNews) say(last.text.slice(0, MOST_OF_A_LINE));
    return Boolean(isNews);
  }

  /** Once each: the seconds in its words run. */
  function tellOfLink({ kind, words }) {
    if (kind && kind !== toldOfLink) say(words);
    toldOfLink = kind;
  }

  return {
    /** link: {kind: '' | 'lost' | 'back', words}. One thing at a time: what is said next takes the place of this. */
    update(state, link) {
      const isSaid = [answerIn(state), failedIn(state), lineIn(state)].some(Boolean);
      if (!isSaid) tellOfLink(link);
    },
    say,
  };
}

function endOf(answer, t) {
  const text = answer.content || answer.refusal;
  if (answer.phase === 'failed') return `${errorInWords(t, answer.code)} ${text}`.trim();
  return answer.reason === 'stopped' ? `${t('say.stopped')}. ${text}`.trim() : text || t('phase.empty');
}
