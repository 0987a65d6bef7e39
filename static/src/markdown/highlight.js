/** Colours for code, by highlight.js with the languages that models mostly write. Loaded with the first code block. */

import core from 'highlight.js/lib/core';
import bash from 'highlight.js/lib/languages/bash';
import cpp from 'highlight.js/lib/languages/cpp';
import css from 'highlight.js/lib/languages/css';
import diff from 'highlight.js/lib/languages/diff';
import go from 'highlight.js/lib/languages/go';
import java from 'highlight.js/lib/languages/java';
import javascript from 'highlight.js/lib/languages/javascript';
import json from 'highlight.js/lib/languages/json';
import python from 'highlight.js/lib/languages/python';
import rust from 'highlight.js/lib/languages/rust';
import sql from 'highlight.js/lib/languages/sql';
import typescript from 'highlight.js/lib/languages/typescript';
import xml from 'highlight.js/lib/languages/xml';
import yaml from 'highlight.js/lib/languages/yaml';

import { toLines } from './spread.js';

const LANGUAGES = { bash, cpp, css, diff, go, java, javascript, json, python, rust, sql, typescript, xml, yaml };

for (const [name, language] of Object.entries(LANGUAGES)) core.registerLanguage(name, language);
core.registerAliases(['shell', 'console', 'terminal'], { languageName: 'bash' });
core.registerAliases(['c', 'h'], { languageName: 'cpp' }); // near enough, and 5 KB less

export const knows = (language) => Boolean(core.getLanguage(language));

/** Lines of {text, kind}; `kind` are the classes of highlight.js. */
export const colour = (code, language) => toLines(core.highlight(code, { language, ignoreIllegals: true }).value);
