/**
 * static/src to static/dist: bundled by esbuild, made small by terser, named by content, compressed beforehand.
 * Run as `npm run build`, by make and by the tests; writes nothing but static/dist, its manifest last.
 *
 * Sources are modules that a browser runs as they are; npm's names may stand only in what is loaded lazily by
 * `import()` (markdown, highlight, math), which fails without a build and is then done without. Styles that a
 * script puts to use itself stand in a file x.css beside a module x.css.js:
 *
 *     export default await (await fetch(new URL('./x.css', import.meta.url))).text();
 *
 * Here that module becomes the text of the file, made small, so that a bundle asks for nothing more. What is loaded
 * lazily is a file by itself; the rest of each entry is one file, since many small ones are larger than one.
 *
 * manifest.json: {name: {file, imports, gzip}}: what stands for each name below, which files a browser needs with it
 * at once, its size in bytes as compressed by gzip. app/web/built.py reads it.
 */

import { createHash } from 'node:crypto';
import { mkdir, readFile, readdir, rename, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { basename, extname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { brotliCompress } from 'node:zlib';

import * as esbuild from 'esbuild';

import { READER, inwardNames } from './reader.mjs';

const ROOT = fileURLToPath(new URL('.', import.meta.url));
const SRC = join(ROOT, 'src');
const DIST = join(ROOT, 'dist');
const KEPT_FOR = 24 * 3_600_000; // ms that files stay once they are replaced: pages that are open still ask for them

/** What is loaded when it is needed, and needs nothing itself. */
const LATE = {
  markdown: ['markdown/index.js'], highlight: ['markdown/highlight.js'], math: ['markdown/math.js'],
  selfcheck: ['widget/selfcheck.js'], bubble: ['widget/bubble.js'], keys: ['chat/keys.js'], 'words.zh': ['chat/words/zh-CN.js'],
};
const ENTRIES = {
  page: ['page/main.js', 'page/page.css'], panel: ['widget/panel.js'], icon: ['icon.svg'],
  embed: ['embed/main.js', 'embed/embed.css'],
};
/** Those that ask for Markdown as soon as they run: a browser that is told beforehand has it by then. */
const WITH_MARKDOWN = ['page.js', 'panel.js'];

const OPTIONS = {
  bundle: true, minify: true, write: false, outdir: DIST, absWorkingDir: ROOT,
  target: ['es2022', 'chrome111', 'firefox115', 'safari16.4'], charset: 'utf8', legalComments: 'none', logLevel: 'warning',
  entryNames: '[name]', assetNames: '[name]', loader: { '.svg': 'copy' },
};
const SMALLER = { ecma: 2022, compress: { passes: 2 }, format: { comments: false } }; // for terser
const ZOPFLI = { numiterations: 5 };

const STYLES = {
  name: 'styles',
  setup({ onLoad }) {
    onLoad({ filter: /\.css\.js$/ }, async ({ path }) => {
      const css = path.slice(0, -'.js'.length);
      const { outputFiles: [{ text }] } = await esbuild.build({ ...OPTIONS, entryPoints: [css] });
      return { contents: text.trim(), loader: 'text', watchFiles: [css] };
    });
  },
};

/** Where a bundle asks for what is loaded late, it asks for the file of this build. */
const lately = (late) => ({
  name: 'lately',
  setup({ onResolve }) {
    const files = new Map(Object.entries(LATE).map(([name, [source]]) => [join(SRC, source), late[`${name}.js`].file]));
    onResolve({ filter: /^\.{1,2}\// }, ({ path, resolveDir, kind }) => {
      const file = kind === 'dynamic-import' && files.get(join(resolveDir, path));
      return file ? { path: `./${file}`, external: true } : undefined;
    });
  },
});

async function build() {
  const started = performance.now();
  const late = await bundle(LATE, { format: 'esm', mangleProps: await inwardNames() });
  const entries = await bundle(ENTRIES, { format: 'esm', plugins: [STYLES, lately(late)] });
  for (const name of WITH_MARKDOWN) entries[name].imports.push(late['markdown.js'].file);
  const manifest = sorted({
    ...late, ...entries,
    ...await bundle({ client: ['client/index.js'], 'client.shared': ['client/shared.js'] }, { format: 'esm' }),
    ...await bundle({ 'client.global': ['client/index.js'] }, { format: 'iife', globalName: 'Deltahub' }),
    ...await bundle({ widget: ['widget/widget.js'] }, { format: 'iife', define: { PANEL_FILES: panelFiles(entries), BUBBLE_FILE: bubbleFile(late) } }),
  });
  const replaced = await readFile(join(DIST, 'manifest.json'), 'utf8').then(JSON.parse, () => ({}));
  await put('manifest.json', JSON.stringify(manifest, null, 1));
  await sweep(filesOf(manifest), filesOf(replaced));
  console.log(`Built static/dist in ${Math.round(performance.now() - started)} ms`);
}

const sorted = (object) => Object.fromEntries(Object.entries(object).sort());

/** Bundles the entries and writes them; gives their part of the manifest. */
async function bundle(entries, options) {
  const entryPoints = Object.entries(entries).flatMap(([out, files]) => files.map((file) => ({ in: join(SRC, file), out })));
  const { outputFiles } = await esbuild.build({ ...OPTIONS, plugins: [STYLES, READER], entryPoints, ...options });
  return Object.fromEntries(await Promise.all(outputFiles.map((output) => written(output, options.format))));
}

/**
 * Writes one file and its compressed forms; gives its name and its entry. What it is made of names it, so one that is
 * there need not be made again: that would be most of the time that a build takes.
 */
async function written({ path, text }, format) {
  const name = basename(path);
  const file = `${basename(name, extname(name))}-${await digest(text, format)}${extname(name)}`;
  const sizeOf = (suffix) => stat(join(DIST, `${file}${suffix}`)).then(({ size }) => size, () => 0);
  const sizes = await Promise.all(['', '.br', '.gz'].map(sizeOf));
  const gzip = sizes.every(Boolean) ? sizes[2] : await make(file, text, format);
  return [name, { file, imports: [], gzip }];
}

async function digest(text, format) {
  const { devDependencies } = JSON.parse(await readFile(join(ROOT, '../package.json'), 'utf8'));
  const made = [text, format, SMALLER, ZOPFLI, devDependencies.terser, devDependencies['@gfx/zopfli']];
  return createHash('sha256').update(JSON.stringify(made)).digest('hex').slice(0, 8).toUpperCase();
}

/** Gives the size as compressed by gzip; zopfli writes gzip that is a twentieth smaller than gzip's own. */
async function make(file, text, format) {
  const { minify } = await import('terser');
  const { default: zopfli } = await import('@gfx/zopfli'); // here, since it garbles all errors once it is loaded
  const code = file.endsWith('.js') ? (await minify(text, { ...structuredClone(SMALLER), module: format === 'esm' })).code : text;
  const contents = Buffer.from(code);
  const [gzip, brotli] = await Promise.all([zopfli.gzipAsync(contents, ZOPFLI), promisify(brotliCompress)(contents)]);
  await Promise.all([put(file, contents), put(`${file}.gz`, gzip), put(`${file}.br`, brotli)]);
  return gzip.length;
}

const bubbleFile = (late) => JSON.stringify(`static/dist/${late['bubble.js'].file}`);

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
