/**
 * One turn of the conversation as elements: a question, an answer, a line in between.
 * Each maker gives {element, update(turn, around)}; `around` is {now, isOnline, isLast}. `on` are the reader's actions,
 * `tools` what it is made with: {t, level (of headings), renderer (see prose.js)}.
 */

import { Prose } from './prose.js';
import { isOver } from './state.js';
import { GrowingText, label, make } from './text.js';

const MAKERS = { question: makeQuestion, answer: makeAnswer, line: makeLine };

const UNFINISHED = new Set(['stopped', 'length', 'left']); // ends that the model had not come to

export const makeTurn = (turn, tools, on) => MAKERS[turn.kind](turn, tools, on);

function makeQuestion({ generationId }, { t, level }, on) {
  const text = new GrowingText(make('div', { class: 'text', dir: 'auto' }));
  const word = make('span', { class: 'word' });
  const request = make('span', { class: 'request' });
  const again = button(t('question.retry'), 'strong', () => on.sendAgain(generationId));
  const discard = button(t('question.discard'), '', () => on.discard(generationId));
  const edit = button(t('question.edit'), 'quiet', () => on.edit(generationId));
  const footer = make('div', { class: 'state' }, word, request, again, edit, discard);
  const element = make('article', { class: 'turn question' }, heading(t('you'), level), text.element, footer);

  return {
    element,
    update({ content, sending, problem }) {
      text.show(content);
      element.dataset.sending = sending;
      const failed = sending === 'failed';
      word.hidden = sending === 'sent';
      edit.hidden = sending === 'sending';
      again.hidden = discard.hidden = !failed;
      label(word, failed ? `${t('question.failed')} · ${callInWords(t, problem)}` : t('question.sending'));
      word.title = problem?.detail ?? '';
      label(request, requestInWords(t, problem?.requestId));
    },
  };
}

function makeAnswer({ generationId }, { t, level, renderer }, on) {
  const thoughts = new GrowingText(make('div', { class: 'text', dir: 'auto' }));
  const summary = make('summary');
  const details = make('details', { class: 'thoughts' }, summary, thoughts.element);
  const text = new Prose(make('div', { class: 'text', dir: 'auto' }), renderer);
  const refusal = new GrowingText(make('div', { class: 'text refusal', dir: 'auto' }));
  const tools = makeTools(t);
  const problem = makeProblem(t);
  const footer = makeFooter(t, {
    copy: (control) => on.copy(generationId, control), retry: () => on.retry(generationId), goOn: on.goOn,
  });
  const element = make('article', { class: 'turn answer', 'data-generation': generationId },
    heading(t('model'), level), details, text.element, refusal.element, tools.element, problem.element, footer.element);

  return {
    element,
    close: () => text.close(),
    update(answer, around) {
      element.dataset.phase = answer.phase;
      element.toggleAttribute('data-waiting', !around.isOnline);
      text.show(answer.content, answer.rewritten, isOver(answer));
      refusal.show(answer.refusal, answer.rewritten);
      thoughts.show(answer.reasoning, answer.rewritten);
      details.hidden = !answer.reasoning;
      label(summary, thoughtInWords(t, answer));
      tools.update(answer.tools);
      problem.update(answer);
      footer.update(answer, around);
    },
  };
}

function makeLine() {
  const element = make('p', { class: 'turn line', dir: 'auto' });
  return { element, update: ({ text }) => label(element, text) };
}

/** What the model asks for, one line each, that unfolds to what it gives along. */
function makeTools(t) {
  const element = make('div', { class: 'tools' });
  const steps = [];
  const add = () => {
    const name = make('summary');
    const given = make('pre', { dir: 'ltr', tabindex: '0' });
    const step = { name, given, element: make('details', { class: 'tool' }, name, given) };
    element.append(step.element);
    steps.push(step);
    return step;
  };
  return {
    element,
    update(tools) {
      element.hidden = !tools.length;
      tools.forEach((tool, at) => {
        const step = steps[at] ?? add();
        label(step.name, t('tool', tool));
        label(step.given, tool.given || '{}');
      });
      for (const step of steps.splice(tools.length)) step.element.remove();
    },
  };
}

/** What went wrong, in the reader's words, and below it in the server's. */
function makeProblem(t) {
  const words = make('p', { class: 'words' });
  const detail = make('p', { class: 'detail', dir: 'auto' });
  const request = make('p', { class: 'request' });
  const element = make('div', { class: 'problem' }, words, detail, request);
  return {
    element,
    update({ phase, code, message, generationId }) {
      element.hidden = phase !== 'failed';
      if (element.hidden) return;
      element.dataset.code = code;
      label(words, errorInWords(t, code));
      label(detail, message);
      detail.hidden = !message;
      label(request, requestInWords(t, generationId));
    },
  };
}

/** The line under an answer: how it is, in words; when it is over also figures and what can be done. */
function makeFooter(t, { copy, retry, goOn }) {
  const word = make('span', { class: 'word' });
  const figures = ['tokens', 'time', 'speed'].map((name) => make('span', { class: `figure ${name}` }));
  const copyButton = button(t('answer.copy'), '', () => copy(copyButton));
  const retryButton = button(t('answer.retry'), 'strong', retry);
  const againButton = button(t('answer.again'), '', retry);
  const goOnButton = button(t('answer.continue'), 'strong', goOn);
  const pulse = make('span', { class: 'pulse', 'aria-hidden': 'true' });
  const said = make('span', {}, word, ...figures);
  const element = make('div', { class: 'state' }, pulse, said, retryButton, copyButton, againButton, goOnButton);
  return {
    element,
    update(answer, around) {
      label(word, phaseInWords(t, answer, around));
      figuresInWords(t, answer).forEach((text, index) => label(figures[index], text));
      const first = answer.timing?.first_token_ms;
      said.title = Number.isFinite(first) ? t('figures.first', { n: t.number(first / 1_000, 2) }) : '';
      const failed = answer.phase === 'failed';
      retryButton.hidden = !(failed && answer.retryable && around.isLast);
      copyButton.hidden = !(isOver(answer) && answer.content);
      againButton.hidden = !(answer.phase === 'done' && around.isLast);
      goOnButton.hidden = !(answer.phase === 'done' && around.isLast && answer.content && UNFINISHED.has(answer.reason));
      // What went wrong is said above, in the box for it.
      said.hidden = failed;
      element.hidden = failed && retryButton.hidden && copyButton.hidden;
    },
  };
}

function heading(text, level) {
  return make(`h${level}`, { class: 'unseen', text });
}

function button(text, extra, click) {
  return make('button', { type: 'button', class: `button small ${extra}`.trim(), text, on: { click } });
}

/** The state of an answer in words that are true at this moment. */
export function phaseInWords(t, answer, { now, isOnline }) {
  if (isOver(answer)) return endInWords(t, answer);
  if (!isOnline) return t('phase.offline');
  if (answer.stopping) return t('phase.stopping');
  if (answer.phase === 'queued') return t('phase.queued', { position: answer.position });
  const words = answer.phase === 'thinking' ? thinkingInWords(t, answer, now) : t(`phase.${answer.phase}`);
  return answer.attempt > 1 ? `${t('phase.attempt', answer)} · ${words}` : words;
}

/** Seconds are counted from the second on: a flashing "0 s" tells nobody anything. */
function thinkingInWords(t, { startedAt }, now) {
  const ms = startedAt ? now - startedAt : 0;
  if (ms < 2_000) return t('phase.thinking');
  return t('phase.thinking.for', { seconds: t.seconds(Math.floor(ms / 1_000) * 1_000) });
}

function endInWords(t, { phase, reason, content, refusal, tools }) {
  if (phase === 'failed') return '';
  const hasText = content || refusal || tools.length;
  if (t.has(`phase.${reason}`) && (hasText || reason !== 'unknown')) return t(`phase.${reason}`);
  return t(hasText ? 'phase.done' : 'phase.empty');
}

export function errorInWords(t, code) {
  return t(t.has(`error.${code}`) ? `error.${code}` : 'error.other');
}

export function callInWords(t, problem) {
  return t(t.has(`call.${problem?.code}`) ? `call.${problem.code}` : 'call.refused');
}

/** What finds it in the server's logs, where the server has told it or was asked by it. */
function requestInWords(t, id = '') {
  return id && !id.startsWith('stored') ? t('error.id', { id }) : '';
}

function thoughtInWords(t, { startedAt, textAt }) {
  const ms = startedAt && textAt ? textAt - startedAt : 0;
  return ms >= 1_000 ? t('thought.for', { seconds: t.seconds(ms) }) : t('thought');
}

const SPEED_FROM = 1_000; // ms below which tokens a second are a number without a meaning

/** Tokens, time and speed, each '' where it is not known. */
function figuresInWords(t, { phase, usage, timing }) {
  const { completion_tokens: tokens, estimated } = usage ?? {};
  const { total_ms: ms, tokens_per_s: speed } = timing ?? {};
  const isOf = (value) => phase === 'done' && value > 0;
  return [
    isOf(tokens) ? t(estimated ? 'figures.about' : 'figures.tokens', { n: t.number(tokens) }) : '',
    isOf(ms) ? t.seconds(Math.max(ms, 100), 1) : '',
    isOf(speed) && ms >= SPEED_FROM ? t('figures.speed', { n: t.number(speed) }) : '',
  ];
}
