/**
 * What a screen reader is told: that an answer is being written, and once, at its end, what it says.
 * Touches one polite status element. The log itself is silent, or every token would be read out.
 */

import { errorInWords } from './turns.js';
import { findAnswer, isOver, isRunning } from './state.js';

export function createAnnouncer(element, t) {
  let watched = '';
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
    if (!running || running.generationId === watched) return;
    watched = running.generationId;
    say(t('say.answering'));
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
  return answer.reason === 'stopped' ? `${t('say.stopped')}. ${text}` : text || t('phase.empty');
}
