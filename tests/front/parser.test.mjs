/** parser.js beside npm's eventsource-parser: the same streams, cut anywhere, are read as the same events. */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { createParser as createTheirs } from 'eventsource-parser';

import { createParser } from '../../static/src/client/parser.js';
import { SEED, createChance } from './drawn.mjs';

const STREAMS = 10_000;
const NAMES = ['message', 'delta', '名', 'x y', 'retry', '0', 'constructor', '__proto__'];
const VALUES = ['', ' ', 'x', ' y', '  two', '天空', '🌤️', 'a:b', ':', '\u2028', '7', '1e3', 'null', '{"type":"delta"}', '\t', '\u0085', '\f'];
const OTHERS = ['Data: a', 'data : b', ' data: c', 'other', 'constructor: d', 'toString', '__proto__: e'];
const LINES = [
  (chance) => `data:${chance.chosen(VALUES)}`,
  (chance) => `data: ${chance.chosen(VALUES)}${chance.chosen(VALUES)}`,
  () => 'data',
  (chance) => `event:${chance.chosen(['', ' '])}${chance.chosen(NAMES)}`,
  () => 'event',
  (chance) => `id: ${chance.chosen(VALUES)}${chance.below(100)}`,
  () => 'id: with\0nul',
  (chance) => `retry: ${chance.chosen(['10', '0', '007', '300000'])}`,
  (chance) => `:${chance.chosen(VALUES)}`,
  (chance) => chance.chosen(OTHERS),
  () => '',
  () => '',
];

/** Lines that the standard has a word on, with one kind of line end or all three; some events are long. */
function drawn(chance) {
  const ends = chance.happens(0.4) ? ['\n', '\r', '\r\n'] : [chance.chosen(['\n', '\r', '\r\n'])];
  let text = chance.happens(0.2) ? '\ufeff' : '';
  for (let left = chance.below(40); left > 0; left -= 1) {
    const line = chance.happens(0.01) ? `data: ${'长x'.repeat(chance.below(5_000))}` : chance.chosen(LINES)(chance);
    text += line + chance.chosen(ends);
  }
  // What an end on CR means can only be told by one who sees what follows: a comment, which is no event.
  return `${text}:\n`;
}

function readByOurs(pieces) {
  const seen = { events: [], retries: [], ids: [] };
  const parser = createParser({
    onEvent: ({ type, data, lastEventId }) => { seen.events.push([type, data]); seen.ids.push(lastEventId); },
    onRetry: (ms) => seen.retries.push(ms),
  });
  for (const piece of pieces) parser.feed(piece);
  return seen;
}

function readByTheirs(pieces) {
  const seen = { events: [], retries: [], ids: [] };
  const parser = createTheirs({
    onEvent: ({ event, data, id }) => { seen.events.push([event || 'message', data]); seen.ids.push(id); },
    onRetry: (ms) => seen.retries.push(ms),
  });
  const decoder = new TextDecoder(); // which drops a BOM, as its authors say one should
  for (const piece of pieces) parser.feed(decoder.decode(piece, { stream: true }));
  return seen;
}

/** In words that fit on a screen, though events may be long. */
function difference(number, bytes, ours, theirs) {
  const at = ours.events.findIndex((event, i) => JSON.stringify(event) !== JSON.stringify(theirs.events[i]));
  const said = (value) => JSON.stringify(value ?? null).slice(0, 300);
  return [
    `stream ${number}: ${said(new TextDecoder('utf-8', { ignoreBOM: true }).decode(bytes))}`,
    `event ${at}: ours ${said(ours.events[at])}, theirs ${said(theirs.events[at])}`,
    `ids: ours ${said(ours.ids)}, theirs ${said(theirs.ids)}; retries: ours ${said(ours.retries)}, theirs ${said(theirs.retries)}`,
  ].join('\n');
}

test(`ten thousand drawn streams, cut anywhere, are read as by eventsource-parser (FRONT_SEED=${SEED})`, () => {
  const chance = createChance();
  let events = 0;
  for (let number = 0; number < STREAMS; number += 1) {
    const bytes = new TextEncoder().encode(drawn(chance));
    const pieces = chance.cut(bytes, chance.chosen([1, 3, 40, 4_000, 100_000]));
    const ours = readByOurs(pieces);
    const theirs = readByTheirs(pieces);
    // Theirs tells an event's own id, ours the last one of the stream: where the event has one they are the same.
    ours.ids = ours.ids.map((id, i) => (theirs.ids[i] === undefined ? undefined : id));
    if (JSON.stringify(ours) !== JSON.stringify(theirs)) assert.fail(difference(number, bytes, ours, theirs));
    events += ours.events.length;
  }
  assert.ok(events > STREAMS, `${events} events are too few to disagree about`);
});

test('wherever a stream is cut in two, it is read the same', () => {
  const bytes = new TextEncoder().encode('\ufeffid: 1\r\ndata: 天\r\rdata: 🌤️\n\nevent: x\ndata\r\n\r\n: c\ndata: b\n\n');
  const whole = readByOurs([bytes]);
  assert.equal(whole.events.length, 4);
  for (let at = 0; at <= bytes.length; at += 1) {
    assert.deepEqual(readByOurs([bytes.slice(0, at), bytes.slice(at)]), whole, `cut at ${at}`);
  }
});

test('text may be fed as well as bytes', () => {
  assert.deepEqual(readByOurs(['\ufeffda', 'ta: a\r', '\n\r', '\n']).events, [['message', 'a']]);
});
