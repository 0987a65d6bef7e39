/**
 * What a page may say about the widget, and what is made of it: every wrong word gets a sentence that helps, and the
 * usual one in its place. Pure. Used by panel.js; docs/widget.md has the same list.
 */

import { parse } from '../chat/shade.js';

const MOST_STARTERS = 6;
const LIFE = new Set(['id', 'class', 'style', 'slot', 'part', 'dir', 'hidden', 'role', 'tabindex', 'title', 'floating', 'manual', 'nonce', 'is']);

/** name → {usual, read(text)}; `read` gives the value or throws a Wrong with what would be right. */
const OPTIONS = {
  hub: { usual: '', read: (text) => text }, // seen to by widget.js
  lang: { usual: '', read: language },
  texts: { usual: '', read: address },
  theme: { usual: 'auto', read: oneOf('auto', 'light', 'dark') },
  color: { usual: null, read: color },
  position: { usual: 'right', read: oneOf('right', 'left') },
  open: { usual: false, read: flag },
  name: { usual: '', read: text(60) },
  greeting: { usual: '', read: text(300) },
  starters: { usual: [], read: starters },
  label: { usual: '', read: text(80) },
  'get-token': { usual: '', read: path },
  debug: { usual: false, read: flag },
};

class Wrong extends Error {}

/** `attributes`: {name: text} of the element → {options, complaints: [sentence]}. */
export function readOptions(attributes) {
  const options = Object.fromEntries(Object.entries(OPTIONS).map(([name, { usual }]) => [name, usual]));
  const complaints = [];
  for (const [name, value] of Object.entries(attributes)) {
    if (!Object.hasOwn(OPTIONS, name)) {
      if (!isAnElements(name)) complaints.push(unknown(name));
      continue;
    }
    try {
      options[name] = OPTIONS[name].read(value.trim());
    } catch (error) {
      if (!(error instanceof Wrong)) throw error;
      complaints.push(`${name}=${short(value)}: ${error.message} It is left out.`);
    }
  }
  return { options, complaints };
}

const isAnElements = (name) => LIFE.has(name) || /^(aria-|data-|on)/.test(name);

function unknown(name) {
  const nearest = Object.keys(OPTIONS).map((known) => [distance(name, known), known]).sort(([a], [b]) => a - b)[0];
  const help = nearest[0] <= 2 ? `Did you mean "${nearest[1]}"?` : `There are ${Object.keys(OPTIONS).join(', ')}.`;
  return `There is no option "${name.slice(0, 40)}". ${help}`;
}

const short = (text) => JSON.stringify(text.length > 60 ? `${text.slice(0, 60)}…` : text);

function oneOf(...words) {
  return (given) => {
    if (words.includes(given)) return given;
    throw new Wrong(`it is one of ${words.join(', ')}.`);
  };
}

/** As in HTML: to be there is to be true; "false" is what people write to switch it off all the same. */
function flag(given) {
  if (['', 'true', 'open', 'debug', '1'].includes(given)) return true;
  if (['false', '0'].includes(given)) return false;
  throw new Wrong('it is true or false.');
}

function text(most) {
  return (given) => {
    if (given.length <= most) return given;
    throw new Wrong(`it has ${given.length} characters, and there is room for ${most}.`);
  };
}

function color(given) {
  const found = parse(given);
  if (found) return found;
  throw new Wrong('it is a colour as #rrggbb, such as #0f6f6c.');
}

function language(given) {
  try {
    return given && Intl.getCanonicalLocales(given)[0];
  } catch {
    throw new Wrong('it is the tag of a language, such as en, zh-CN or ar.');
  }
}

function address(given) {
  if (/^(https?:\/\/|\/|\.{0,2}\/)/.test(given)) return given;
  throw new Wrong('it is the address of a JSON file, such as /chat/fr.json.');
}

function path(given) {
  if (/^[\p{ID_Start}$_][\p{ID_Continue}$]*(\.[\p{ID_Start}$_][\p{ID_Continue}$]*)*$/u.test(given)) return given;
  throw new Wrong('it is the name of a function of the page, such as getToken or app.getToken.');
}

function starters(given) {
  const found = given.split('|').map((one) => one.trim()).filter(Boolean);
  if (found.length > MOST_STARTERS) throw new Wrong(`there are ${found.length} questions, and there is room for ${MOST_STARTERS}.`);
  for (const one of found) text(200)(one);
  return found;
}

/** How many letters to change, add or leave out. */
function distance(one, other) {
  let row = Array.from({ length: other.length + 1 }, (_, at) => at);
  for (let i = 1; i <= Math.min(one.length, 40); i += 1) {
    const next = [i];
    for (let j = 1; j <= other.length; j += 1) {
      next.push(Math.min(row[j] + 1, next[j - 1] + 1, row[j - 1] + (one[i - 1] === other[j - 1] ? 0 : 1)));
    }
    row = next;
  }
  return row.at(-1);
}
