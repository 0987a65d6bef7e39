/**
 * An app around a wrapper of docs/widget.md, whose code comes by standard input, as one script on standard output:
 * `node bundle.mjs react.jsx` or `vue.js`. Used by test_wrappers.py.
 */

import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

import * as esbuild from 'esbuild';
import { compileScript, parse } from 'vue/compiler-sfc';

const here = fileURLToPath(new URL('.', import.meta.url));
const [app] = process.argv.slice(2);
const given = readFileSync(0, 'utf8');

/** What a bundler's plugin for Vue makes of a single-file component. */
function compiled(source) {
  const { descriptor, errors } = parse(source, { filename: 'DeltaChat.vue' });
  if (errors.length) throw errors[0];
  return compileScript(descriptor, { id: 'delta-chat', inlineTemplate: true }).content;
}

const WRAPPER = {
  name: 'wrapper',
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^wrapper$/ }, ({ path }) => ({ path, namespace: 'wrapper' }));
    onLoad({ filter: /./, namespace: 'wrapper' }, () => ({
      contents: app === 'vue.js' ? compiled(given) : given, loader: 'jsx', resolveDir: here,
    }));
  },
};

const { outputFiles: [{ text }] } = await esbuild.build({
  entryPoints: [`${here}${app}`], bundle: true, write: false, format: 'iife', jsx: 'automatic', plugins: [WRAPPER],
  // As while somebody develops: then StrictMode does everything twice, and both say what they do not like.
  define: {
    'process.env.NODE_ENV': '"development"', __VUE_OPTIONS_API__: 'true', __VUE_PROD_DEVTOOLS__: 'false',
    __VUE_PROD_HYDRATION_MISMATCH_DETAILS__: 'false',
  },
});
process.stdout.write(text);
