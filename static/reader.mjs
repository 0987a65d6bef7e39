/**
 * Of marked what reads Markdown the way static/src/markdown/lexer.js has it read, and no more: in the place of the one
 * file of its package, for esbuild. Used by build.mjs; takes marked's sources out of the source map beside that file,
 * and stops where they are not what they were, which only another version can bring about.
 *
 * Left out is what writes HTML, what other options would do, and the methods that lexer.js has its own for. Patterns,
 * which marked puts together from parts whenever it starts, are put together here.
 */

import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';

import * as esbuild from 'esbuild';

const ENTRY = "export { _Lexer as Lexer } from './Lexer.ts'; export { _Tokenizer as Tokenizer } from './Tokenizer.ts';";

/** What lexer.js sets, or never does. */
const SETTLED = {
  'this.options.pedantic': 'false', 'this.options.gfm': 'true', 'this.options.breaks': 'false', 'this.options.silent': 'false',
  'this.options.hooks': 'null', 'this.options.extensions?.inline': 'null', 'this.options.extensions?.startInline': 'null',
  'block.normal': 'block.gfm', 'inline.normal': 'inline.gfm', ' || _defaults': '',
};

/** What lexer.js has instead, or does not call. */
const LEFT_OUT = {
  'Lexer.ts': ['static get rules(', 'static lex<', 'static lexInline<', 'lex('],
  'Tokenizer.ts': ['html(', 'tag(', 'inlineText('],
};
const REPLACED = new Set(['punctuation', 'emStrongRDelimAst']); // patterns that lexer.js has its own for
const MARKED = fileURLToPath(new URL('../node_modules/marked/lib/marked.esm.js', import.meta.url));
const RULES = /^\.\/rules\.ts$/;
const GRAMMAR = '/**\n * Block-Level Grammar';

/** The names of marked's patterns that are no word of any interface: within a bundle they may be as short as it likes. */
export async function inwardNames() {
  const { 'rules.ts': text } = await unpacked(MARKED);
  const names = [...text.matchAll(/^ {2}([a-z]+[A-Z]\w*)[:,]/gm)].map(([, name]) => name);
  return new RegExp(`^(?:${[...new Set(names)].join('|')})$`);
}

export const READER = {
  name: 'reader',
  setup({ onResolve, onLoad }) {
    let patterns;
    onLoad({ filter: /marked[\\/]lib[\\/]marked\.esm\.js$/ }, async ({ path }) => {
      const sources = await sourcesOf(path);
      const contents = await codeOf(sources);
      patterns = await patternsOf(sources['rules.ts'], contents);
      return { contents, loader: 'js' };
    });
    onResolve({ filter: RULES }, ({ path }) => ({ path, namespace: 'marked' }));
    onLoad({ filter: RULES, namespace: 'marked' }, () => ({ contents: patterns, loader: 'ts' }));
  },
};

/** The sources out of which a file was made: {name: text}. */
async function unpacked(path) {
  const { sources, sourcesContent } = JSON.parse(await readFile(`${path}.map`, 'utf8'));
  return Object.fromEntries(sources.map((name, index) => [name.split('/').pop(), sourcesContent[index]]));
}

/** Marked's, with what is settled settled and what is left out left out. */
async function sourcesOf(path) {
  const found = await unpacked(path);
  for (const name of Object.keys(LEFT_OUT)) found[name] = LEFT_OUT[name].reduce(without, found[name]);
  for (const [words, value] of Object.entries(SETTLED)) {
    if (!Object.keys(LEFT_OUT).some((name) => found[name].includes(words))) throw changed(words);
    for (const name of Object.keys(LEFT_OUT)) found[name] = found[name].replaceAll(words, value);
  }
  return found;
}

/** The text without the method that begins so. */
function without(text, head) {
  const from = text.indexOf(`\n  ${head}`);
  const to = text.indexOf('\n  }\n', from);
  if (from < 0 || to < 0) throw changed(head);
  return text.slice(0, from) + text.slice(to + '\n  }'.length);
}

/** Lexer, Tokenizer and what they call, in one; the patterns are still to come. */
async function codeOf(sources) {
  const plugin = {
    name: 'sources',
    setup({ onResolve, onLoad }) {
      onResolve({ filter: RULES }, ({ path }) => ({ path, external: true }));
      onResolve({ filter: /\.ts$/ }, ({ path }) => ({ path: path.replace('./', ''), namespace: 'marked' }));
      onLoad({ filter: /./, namespace: 'marked' }, ({ path }) => ({ contents: sources[path], loader: 'ts' }));
    },
  };
  const { outputFiles: [output] } = await esbuild.build({
    stdin: { contents: ENTRY }, plugins: [plugin], bundle: true, write: false, format: 'esm', minifySyntax: true, charset: 'utf8',
  });
  return output.text;
}

/** Those that the code names; of the grammar as they are once they are put together. */
async function patternsOf(source, code) {
  const { code: plain } = await esbuild.transform(source, { loader: 'ts', format: 'esm' });
  const { block, inline } = await import(`data:text/javascript,${encodeURIComponent(plain)}`);
  const isNamed = (name) => new RegExp(`\\.${name}\\b`).test(code);
  const [tags] = /^const _tag =[^;]*;/m.exec(source) ?? [];
  if (!source.includes(GRAMMAR) || !tags) throw changed('rules.ts');
  const others = source.slice(0, source.indexOf(GRAMMAR))
    .replace(/^ {2}(\w+): (?:[/(]|cached).*\n/gm, (line, name) => (isNamed(name) ? line : ''));
  const grammar = Object.entries({ block, inline }).map(([name, { gfm }]) => `export const ${name} = { gfm: ${written(gfm, isNamed)} };`);
  return [others, tags, ...grammar].join('\n');
}

function written(patterns, isNamed) {
  const kept = Object.entries(patterns).filter(([name]) => isNamed(name) && !REPLACED.has(name));
  return `{ ${kept.map(([name, pattern]) => `${name}: ${pattern}`).join(', ')} }`;
}

const changed = (what) => new Error(`marked is not what it was, see static/reader.mjs: ${what}`);
