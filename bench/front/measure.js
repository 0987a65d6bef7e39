/**
 * One answer drawn token by token, one token a frame, as fast as it goes: what each frame takes of script and
 * of layout. The frames are made here, 16.7 ms apart by a clock that is told so, so that a minute need not be waited for.
 */

import { TEXTS, tokensOf } from './texts.js';

const FRAME = 16.7; // ms

/** In ms: script and layout of all frames, the longest frame, and what 999 of 1,000 frames take at most. */
export async function measure({ createMarkdown }, kind, length, { perFrame = 1 } = {}) {
  const element = document.createElement('div');
  document.body.replaceChildren(element);
  const clock = frames();
  const markdown = createMarkdown(element, { now: clock.now, frame: clock.frame });
  const tokens = tokensOf(TEXTS[kind](length));
  const sum = { script: 0, layout: 0 };
  const times = [];
  for (let i = 0; i < tokens.length; i += perFrame) {
    // The collector may work between two frames, as it does in a page; so the event loop gets its turn.
    if (i % 500 === 0) await new Promise((resolve) => setTimeout(resolve));
    times.push(step(clock, element, () => markdown.append(tokens.slice(i, i + perFrame).join('')), sum));
  }
  times.push(step(clock, element, () => markdown.end(), sum));
  times.sort((a, b) => a - b);
  return { frames: times.length - 1, ...sum, most: times[Math.floor(0.999 * times.length)], worst: times.at(-1) };
}

function step(clock, element, act, sum) {
  clock.begin();
  const started = performance.now();
  act();
  clock.run();
  const drawn = performance.now();
  element.getBoundingClientRect();
  const ended = performance.now();
  sum.script += drawn - started;
  sum.layout += ended - drawn;
  return ended - started;
}

function frames() {
  let begun = 0;
  let at = 0;
  let waiting = [];
  return {
    now: () => at + performance.now() - begun,
    frame: (draw) => { waiting.push(draw); },
    begin() {
      begun = performance.now();
      at += FRAME;
    },
    run() {
      const due = waiting;
      waiting = [];
      for (const draw of due) draw();
    },
  };
}
