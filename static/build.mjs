/**
 * static/src to static/dist: bundled by esbuild, under names that tell the content, compressed beforehand.
 * Run as `npm run build`, by make and by the tests; writes nothing but static/dist, its manifest last.
 *
 * Sources are modules that a browser runs as they are; npm's names may stand only in what is loaded lazily by
 * `import()` (markdown, highlight, math), which fails without a build and is then done without. Styles that a
 * script puts to use itself stand in a file x.css beside a module x.css.js:
 *
 *     export default await (await fetch(new URL('./x.css', import.meta.url))).text();
 *
 * Here that module becomes the text of the file, made small, so that a bundle asks for nothing more.
 *
 * manifest.json: {name: {file, imports, gzip}}: what stands for each name below, which files a browser needs with it
 * at once, its size in bytes as compressed by gzip. app/web/built.py reads it.
 */

import { mkdir, readFile, readdir, rename, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { brotliCompress, gzip } from 'node:zlib';

import * as esbuild from 'esbuild';

const ROOT = fileURLToPath(new URL('.', import.meta.url));
const SRC = join(ROOT, 'src');
const DIST = join(ROOT, 'dist');
const KEPT_FOR = 24 * 3_600_000; // ms that files stay once they are replaced: pages that are open still ask for them
const HASH = /-[A-Z0-9]{8}(?=\.)/;

/** What shares its code: the chat page, the widget's panel, and what both load when they need it. */
const SHARING = {
  page: ['page/main.js', 'page/page.css'], panel: ['widget/panel.js'], icon: ['icon.svg'],
  embed: ['embed/main.js', 'embed/embed.css'],
  markdown: ['markdown/index.js'], highlight: ['markdown/highlight.js'], math: ['markdown/math.js'],
};

const OPTIONS = {
  bundle: true, minify: true, write: false, metafile: true, outdir: DIST, absWorkingDir: ROOT,
  target: ['es2022', 'chrome111', 'firefox115', 'safari16.4'], charset: 'utf8', legalComments: 'none', logLevel: 'warning',
  entryNames: '[name]-[hash]', chunkNames: 'chunk-[hash]', assetNames: '[name]-[hash]', loader: { '.svg': 'copy' },
};

const STYLES = {
  name: 'styles',
  setup({ onLoad }) {
    onLoad({ filter: /\.css\.js$/ }, async ({ path }) => {
      const css = path.slice(0, -'.js'.length);
      const { outputFiles: [{ text }] } = await esbuild.build({ ...OPTIONS, entryPoints: [css], metafile: false });
      return { contents: text.trim(), loader: 'text', watchFiles: [css] };
    });
  },
};

/**
 * Of marked only what reads: its reader ends where the parts that write HTML strings, which are used by nothing here,
 * are put to use. A third of it that no bundler can tell to be idle.
 */
const READER = {
  name: 'reader',
  setup({ onLoad }) {
    onLoad({ filter: /marked[\\/]lib[\\/]marked\.esm\.js$/ }, async ({ path }) => {
      const text = await readFile(path, 'utf8');
      const exported = /export\s*\{([^}]*)\}/.exec(text)?.[1] ?? '';
      const names = Object.fromEntries(exported.split(',').map((pair) => pair.trim().split(' as ').reverse()));
      const [end] = new RegExp(`var [\\w$]+=new ${names.Marked?.replaceAll('$', '\\$&')};`).exec(text) ?? [];
      if (!end || !names.Lexer || !names.Tokenizer) throw new Error(`${path} is not what it was: see READER in static/build.mjs`);
      const reader = text.slice(0, text.indexOf(end));
      return { contents: `${reader}export{${names.Lexer} as Lexer,${names.Tokenizer} as Tokenizer};`, loader: 'js' };
    });
  },
};

async function build() {
  const started = performance.now();
  const shared = await bundle(SHARING, { format: 'esm', splitting: true });
  const manifest = {
    ...shared,
    ...await bundle({ client: ['client/index.js'], 'client.shared': ['client/shared.js'] }, { format: 'esm' }),
    ...await bundle({ 'client.global': ['client/index.js'] }, { format: 'iife', globalName: 'Deltahub' }),
    ...await bundle({ widget: ['widget/widget.js'] }, { format: 'iife', define: { PANEL_FILES: panelFiles(shared) } }),
  };
  const replaced = await readFile(join(DIST, 'manifest.json'), 'utf8').then(JSON.parse, () => ({}));
  await put('manifest.json', JSON.stringify(manifest, null, 1));
  await sweep(filesOf(manifest), filesOf(replaced));
  console.log(`Built static/dist in ${Math.round(performance.now() - started)} ms`);
}

/** Bundles the entries and writes them; gives their part of the manifest. */
async function bundle(entries, options) {
  const entryPoints = Object.entries(entries).flatMap(([out, files]) => files.map((file) => ({ in: join(SRC, file), out })));
  const { outputFiles, metafile } = await esbuild.build({ ...OPTIONS, plugins: [STYLES, READER], entryPoints, ...options });
  const parts = await Promise.all(outputFiles.map((output) => written(output, metafile)));
  return Object.fromEntries(parts.sort());
}

/** Writes one file of a bundle and its compressed forms; gives its name and its entry. */
async function written({ path, contents }, { outputs }) {
  const file = basename(path);
  const name = file.startsWith('chunk-') ? file : file.replace(HASH, '');
  const [small, smaller] = await Promise.all([promisify(gzip)(contents, { level: 9 }), promisify(brotliCompress)(contents)]);
  await Promise.all([put(file, contents), put(`${file}.gz`, small), put(`${file}.br`, smaller)]);
  return [name, { file, imports: closure(file, outputs), gzip: small.length }];
}

/** The files that a browser needs before it can run `file`, itself left out. */
function closure(file, outputs) {
  const found = new Set([file]);
  for (const next of found) {
    const { imports = [] } = outputs[`dist/${next}`] ?? {};
    for (const { path, kind } of imports) if (kind === 'import-statement') found.add(basename(path));
  }
  return [...found].slice(1);
}

/** For the loader: all that the panel needs at once, beside widget.js, so that nothing is found out one by one. */
function panelFiles(manifest) {
  const { file, imports } = manifest['panel.js'];
  return JSON.stringify([file, ...imports].map((name) => `static/dist/${name}`));
}

/** Whoever reads meanwhile, another build included, meets whole files only. */
async function put(name, contents) {
  const unfinished = join(DIST, `.${name}.${process.pid}`);
  await writeFile(unfinished, contents);
  await rename(unfinished, join(DIST, name));
}

function filesOf(manifest) {
  return new Set(Object.values(manifest).flatMap(({ file }) => [file, `${file}.gz`, `${file}.br`]));
}

/** Takes away what was replaced long ago; what was replaced just now is marked with the time. */
async function sweep(kept, replaced) {
  const now = Date.now();
  for (const name of await readdir(DIST)) {
    if (kept.has(name) || name === 'manifest.json') continue;
    const path = join(DIST, name);
    if (replaced.has(name)) await utimes(path, now / 1_000, now / 1_000).catch(() => {});
    const changed = await stat(path).then(({ mtimeMs }) => mtimeMs, () => now); // another build was quicker
    if (now - changed > KEPT_FOR) await rm(path, { force: true });
  }
}

await mkdir(DIST, { recursive: true });
await build();
