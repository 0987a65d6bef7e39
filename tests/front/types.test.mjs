/** The .d.ts files: they name what the modules export, and every option, field and method that there is. */

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';

import * as client from '../../static/src/client/index.js';
import * as shared from '../../static/src/client/shared.js';

const FOLDER = new URL('../../static/src/client/', import.meta.url);
const read = (name) => readFile(new URL(name, FOLDER), 'utf8');
const exported = (types) => [...types.matchAll(/^export (?:const|function|class) (\w+)/gm)].map(([, name]) => name).sort();

for (const [name, module] of [['index', client], ['shared', shared]]) {
  test(`${name}.d.ts names what ${name}.js exports`, async () => {
    assert.deepEqual(exported(await read(`${name}.d.ts`)), Object.keys(module).sort());
  });
}

test('every member of a source is typed', async () => {
  const types = `${await read('index.d.ts')}${await read('shared.d.ts')}`;
  const inner = new Set(['constructor', 'check']); // check() is between shared.js and source.js
  const source = client.newEventSource({ url: 'http://127.0.0.1:1/', fetch: () => new Promise(() => {}) });
  source.close();
  const prototype = Object.getPrototypeOf(source);
  for (const member of Object.getOwnPropertyNames(prototype)) {
    if (!inner.has(member)) assert.match(types, new RegExp(`\\b${member}\\b`), member);
  }
});

test('every option that the code reads is typed', async () => {
  const types = await read('index.d.ts');
  const code = `${await read('source.js')}${await read('request.js')}`;
  const lists = [...code.matchAll(/(?:const |listen\(source, |address\()\{([^}]*)\}(?: = this\.#options| = options;|\) \{)/g)];
  const options = new Set([
    ...lists.flatMap(([, list]) => list.split(',').map((item) => item.split(/[:=]/)[0].trim())),
    ...[...code.matchAll(/#options\.(\w+)/g)].map(([, name]) => name),
  ]);
  assert.ok(options.size > 12, [...options].join());
  for (const option of options) if (option) assert.match(types, new RegExp(`\\b${option}\\??:`), option);
});
