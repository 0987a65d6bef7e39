/**
 * What a screen reader is told, each once: the place of a question in line, that its answer is being written, and
 * at the end what it says. Touches one polite status element: the log itself is silent, or every token would be read out.
 */

import { errorInWords } from './turns.js';
import { findAnswer, isOver, isRunning } from './state.js';

export function createAnnouncer(element, t) {
  let watched = ''; // generationId
  let told = ''; // of the watched one: '', 'queued' or 'answering'
  let wasTroubled = false;

  const say = (text) => { element.textContent = text; };

  function answerIn(state) {
    const answer = findAnswer(state, watched);
    if (answer && isOver(answer)) {
      watched = '';
      say(endOf(answer, t));
      return;
    }
    const running = state.turns.findLast(isRunning);
    if (!running) return;
    if (running.generationId !== watched) told = '';
    watched = running.generationId;
    tell(running);
  }

  /** Nothing before the server has said whether it must wait, and its place once: it may change every second. */
  function tell({ phase, position }) {
    const stage = { connecting: '', queued: 'queued' }[phase] ?? 'answering';
    if (!stage || stage === told) return;
    told = stage;
    say(stage === 'queued' ? t('phase.queued', { position }) : t('say.answering'));
  }

  return {
    update(state, isTroubled) {
      answerIn(state);
      if (wasTroubled && !isTroubled && state.link.state === 'open') say(t('say.connected'));
      wasTroubled = isTroubled;
    },
    say,
  };
}

function endOf(answer, t) {
  const text = answer.content || answer.refusal;
  if (answer.phase === 'failed') return `${errorInWords(t, answer.code)} ${text}`.trim();
  return answer.reason === 'stopped' ? `${t('say.stopped')}. ${text}`.trim() : text || t('phase.empty');
}
