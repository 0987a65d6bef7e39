/** leading.js on locks that are granted as the standard says: who leads, who is next, who takes over. */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Leadership } from '../../static/src/client/leading.js';

/** Web Locks of one name: [spec] first come, first served; `steal` breaks the one that is held and waits for nobody. */
class Locks {
  held = null;
  line = [];

  request(_, { signal, steal = false }, use) {
    return new Promise((resolve, reject) => {
      const asked = { use, resolve, reject };
      if (steal) {
        this.held?.reject(new DOMException('stolen', 'AbortError'));
        this.held = null;
        this.line.unshift(asked);
      } else this.line.push(asked);
      signal?.addEventListener('abort', () => {
        if (!this.line.includes(asked)) return;
        this.line.splice(this.line.indexOf(asked), 1);
        reject(signal.reason);
      });
      setImmediate(() => this.grant());
    });
  }

  async grant() {
    if (this.held || !this.line.length) return;
    const holder = (this.held = this.line.shift());
    await Promise.resolve(holder.use()).then(holder.resolve);
    if (this.held === holder) this.held = null;
    this.grant();
  }
}

const turns = async () => { for (let i = 0; i < 5; i += 1) await new Promise(setImmediate); };

function withLocks(t, locks) {
  const before = Object.getOwnPropertyDescriptor(globalThis, 'navigator');
  Object.defineProperty(globalThis, 'navigator', { value: { locks }, configurable: true });
  t.after(() => (before ? Object.defineProperty(globalThis, 'navigator', before) : delete globalThis.navigator));
}

function page() {
  const said = [];
  const leadership = new Leadership('n', { onLead: () => said.push('leads'), onLost: () => said.push('lost') });
  return { said, leadership };
}

test('the first in line leads, and when it leaves the next does', async (t) => {
  withLocks(t, new Locks());
  const pages = [page(), page(), page()];
  for (const { leadership } of pages) leadership.queue();
  await turns();
  assert.deepEqual(pages.map(({ leadership }) => leadership.isHeld), [true, false, false]);
  pages[0].leadership.leave();
  await turns();
  assert.deepEqual(pages.map(({ leadership }) => leadership.isHeld), [false, true, false]);
  assert.deepEqual(pages[0].said, ['leads']);
});

test('who leaves the line is passed over', async (t) => {
  withLocks(t, new Locks());
  const pages = [page(), page(), page()];
  for (const { leadership } of pages) leadership.queue();
  await turns();
  pages[1].leadership.leave();
  pages[0].leadership.leave();
  await turns();
  assert.deepEqual(pages.map(({ said }) => said), [['leads'], [], ['leads']]);
});

test('who takes the lock leads, and the one it was taken from is back in line', async (t) => {
  withLocks(t, new Locks());
  const [one, other] = [page(), page()];
  one.leadership.queue();
  other.leadership.queue();
  await turns();
  other.leadership.take();
  await turns();
  assert.deepEqual([one.said, other.said], [['leads', 'lost'], ['leads']]);
  other.leadership.leave();
  await turns();
  assert.deepEqual(one.said, ['leads', 'lost', 'leads']);
  assert.ok(one.leadership.isHeld);
});

test('who left never leads', async (t) => {
  withLocks(t, new Locks());
  const { leadership, said } = page();
  leadership.queue();
  leadership.leave();
  await turns();
  assert.deepEqual(said, []);
});

test('where locks are forbidden each page leads', async (t) => {
  withLocks(t, { request: async () => { throw new DOMException('not here', 'SecurityError'); } });
  const pages = [page(), page()];
  for (const { leadership } of pages) leadership.queue();
  await turns();
  assert.deepEqual(pages.map(({ said }) => said), [['leads'], ['leads']]);
});
