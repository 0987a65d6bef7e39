/** standing.js: a tab that follows, catches up and changes leaders is told each event of the log once and in order. */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Standing } from '../../static/src/client/standing.js';
import { SEED, createChance } from './drawn.mjs';

const GREETING = '{"type":"connected","resumed":true}';
const whole = (prev, id) => ({ prev, id, data: '{"type":"message"}' });
const delta = (prev, id) => ({ prev, id, data: '{"type":"delta"}' });

function standing(place, leader) {
  const tab = new Standing(place);
  if (leader !== undefined) tab.met({ place: leader, isWithin: false });
  return tab;
}

test('a tab that stands where the leader does follows it', () => {
  assert.ok(standing('e.4', 'e.4').isAbreast);
  assert.ok(standing('', '').isAbreast);
  assert.ok(standing('e.9', 'e.4').isAbreast); // it loaded later, and the leader has had nothing since
  assert.ok(!standing('e.3', 'e.4').isAbreast);
  assert.ok(!standing('', 'e.4').isAbreast);
  assert.ok(!standing('f.9', 'e.4').isAbreast);
});

test('a leader within an opening can not be followed from where it began', () => {
  const tab = standing('');
  tab.met({ place: '', isWithin: true });
  assert.ok(!tab.isAbreast);
  assert.equal(tab.heard(delta('', 'e.3')), 'next'); // but who was told the same so far is told the rest
});

test('a tab within an opening of its own reads that to its end', () => {
  const tab = standing('', 'e.3');
  tab.beginsToCatchUp();
  tab.told({ prev: '', id: '', data: '{"type":"started"}' });
  assert.equal(tab.heard(whole('', 'e.4')), 'kept');
  assert.equal(tab.rest(), null);
  tab.told({ prev: '', id: 'e.4', data: '{"type":"snapshot"}' });
  assert.deepEqual(tab.rest(), []);
});

test('what was relayed while it caught up is handed on from where it stands', () => {
  const tab = standing('e.1', 'e.5');
  tab.beginsToCatchUp();
  const later = [whole('e.5', 'e.6'), whole('e.6', 'e.7')];
  for (const message of later) assert.equal(tab.heard(message), 'kept');
  assert.equal(tab.rest(), null);
  tab.told(whole('e.1', 'e.5'));
  assert.deepEqual(tab.rest(), later);
  tab.caughtUp();
  assert.equal(tab.heard(later[0]), 'next');
});

test('a greeting moves nobody', () => {
  const tab = standing('e.1', 'e.1');
  assert.equal(tab.heard({ prev: 'e.1', id: 'e.1', data: GREETING }), 'next');
  assert.ok(tab.isAbreast);
});

test('what is remembered has an end', () => {
  const tab = standing('x', 'y');
  tab.beginsToCatchUp();
  for (let i = 0; i < 6_000; i += 1) tab.heard(whole(`p${i}`, `p${i + 1}`));
  tab.told(whole('x', 'p10'));
  assert.equal(tab.rest(), null); // forgotten: it reads on alone
  tab.told(whole('p10', 'p5900'));
  assert.equal(tab.rest().length, 100);
});

/** A log of whole events and deltas, with numbers of others in between; every reader has a place and may be sent merged deltas. */
class World {
  constructor(chance) {
    this.chance = chance;
    this.count = chance.below(5);
    this.log = [];
  }

  append() {
    this.count += 1 + (this.chance.happens(0.3) ? this.chance.below(4) : 0);
    this.log.push({ number: this.count, isDelta: this.chance.happens(0.6) });
  }

  /** The next message after a place, and its place; null where there is none yet. */
  after(number) {
    const from = this.log.findIndex((event) => event.number > number);
    if (from < 0) return null;
    let to = from;
    while (this.log[from].isDelta && this.log[to + 1]?.isDelta && this.chance.happens(0.5)) to += 1;
    const events = this.log.slice(from, to + 1);
    const make = events[0].isDelta ? delta : whole;
    return { ...make(place(number), place(events.at(-1).number)), numbers: events.map((event) => event.number) };
  }
}

const place = (number) => `epoch.${number}`;
const numberOf = (cursor) => Number(cursor.split('.')[1]);

/** One life of a tab among leaders that come and go; gives what it was told and what it should have been told. */
function lived(chance) {
  const world = new World(chance);
  for (let i = chance.below(20); i > 0; i -= 1) world.append();
  const start = chance.below(world.count + 1);
  const tab = standing(place(start));
  const told = [];
  let leader = chance.below(world.count + 1);
  let channel = [];
  let own = null;

  const say = (message) => { tab.told(message); told.push(...message.numbers); };
  const catchUp = (first) => { tab.beginsToCatchUp(first); own = true; };
  const take = (message) => {
    const how = tab.heard(message);
    if (how === 'next') say(message);
    else if (how === 'unknown') catchUp([message]);
    else if (how === 'kept') join();
  };
  function join() {
    const rest = tab.isCatchingUp ? tab.rest() : null;
    if (!rest) return;
    own = null;
    tab.caughtUp();
    for (const message of rest) take(message);
  }
  const lead = () => {
    const message = world.after(leader);
    if (!message) return;
    leader = numberOf(message.id);
    channel.push(message);
  };
  const read = () => {
    const message = own && world.after(numberOf(tab.place));
    if (!message) return;
    say(message);
    join();
  };
  const meet = () => {
    tab.met({ place: place(leader), isWithin: false });
    if (tab.isCatchingUp) join();
    else if (!tab.isAbreast) catchUp([]);
  };
  const deliver = () => { if (channel.length) take(channel.shift()); };
  const replaceLeader = () => {
    // What the last one said may come after what the next one says first.
    const late = channel.splice(chance.below(channel.length + 1));
    leader = Math.max(0, leader - chance.below(6));
    for (let i = chance.below(3); i > 0; i -= 1) lead();
    channel.push(...late);
  };

  meet();
  for (let step = 0; step < 120; step += 1) {
    const what = chance.below(100);
    if (what < 25) world.append();
    else if (what < 50) lead();
    else if (what < 75) deliver();
    else if (what < 93) read();
    else if (what < 96 && !channel.length) meet(); // an answer to its question, in order with the rest
    else if (what >= 96) replaceLeader();
  }
  world.append();
  for (let left = 300; left > 0; left -= 1) { lead(); deliver(); read(); }
  if (!channel.length) meet();
  return { told, due: world.log.map(({ number }) => number).filter((number) => number > start), tab, kept: channel.length };
}

test(`three thousand lives, each told the log from its cursor on, once and in order (FRONT_SEED=${SEED})`, () => {
  const chance = createChance();
  for (let life = 0; life < 3_000; life += 1) {
    const { told, due, tab, kept } = lived(chance);
    assert.equal(String(told), String(due), `life ${life}`);
    assert.equal(kept, 0);
    assert.ok(!tab.isCatchingUp, `life ${life} still reads alone`);
  }
});
