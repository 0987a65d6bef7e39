/**
 * How much of a text that is still being written can be shown without taking any of it back: all but a last line
 * whose nature is open. `-` may become a list, a rule, a heading; "``" a code block; `| a |` a table. Pure; called by
 * stream.js. What is held back here are a few characters for a few moments.
 */

/** Marks of quotes and lists before the text of a line. */
const CONTAINERS = /^(?:[ \t]|>|(?:[-*+]|\d{1,9}[.)])(?=[ \t]))*/;
const DELIMITERS = /^\|?[ \t]*:?-+:?[ \t]*(?:\|[ \t]*:?-+:?[ \t]*)*\|?[ \t]*$/;
const LONGEST_LABEL = 300; // of `[label]: address`; what is longer is a sentence in brackets

/** Rests of a last line that may still become something else. */
const OPEN_LINES = [
  /^\s*$/,
  /^[|:-][|:\- \t]*$/, // the second line of a table
  /^[-*_=+~][-*_=+~ \t]*$/, // rule, underline of a heading, list, bold
  /^#{1,6}[ \t]*$/,
  /^\d{1,9}[.)]?$/, // a number or an item of a list
  /^(?:`{1,2}|`{3,}[^`]*)$/, // code block; its language would be shown letter by letter
  /^~{3,}.*$/,
  /^\\$|^\$\$?$/,
];

/** The length of what can be shown. `inTable`: the text continues the rows of a table. */
export function decidedLength(text, { inTable = false } = {}) {
  const end = isHighSurrogate(text.at(-1)) ? text.length - 1 : text.length;
  const start = text.lastIndexOf('\n', end - 1) + 1;
  const line = text.slice(start, end);
  const rest = line.replace(CONTAINERS, '');
  const isRow = inTable && isRowBelow(text, start);
  const above = isTableLike(rest) && !isRow ? headAbove(text, start) : -1;
  if (above !== -1) return above;
  if (rest[0] === '|' && !isRow && !isBelowDelimiters(text, start)) return start;
  return OPEN_LINES.some((pattern) => pattern.test(rest)) || isLabel(rest) ? start : end;
}

function isHighSurrogate(char = '') {
  return char >= '\ud800' && char <= '\udbff';
}

/** `[label` and `[label]: address`, also `[x` of a task. */
function isLabel(rest) {
  return rest.length < LONGEST_LABEL && /^(?:\[[^\]]*\]?|\[[^\]]+\]:.*|\[[ xX]?\][ \t]*)$/.test(rest);
}

const isTableLike = (rest) => /^[|:\- \t]*$/.test(rest);

/** Where the line above starts if it can be the head of a table whose second line is on its way; else -1. */
function headAbove(text, start) {
  if (start === 0) return -1;
  const from = lineAbove(text, start);
  const line = stripped(text, from, start);
  return line[0] === '|' && !DELIMITERS.test(line) && !isBelowDelimiters(text, from) ? from : -1;
}

/** Is there, above the rows that end here, the second line of a table? */
function isBelowDelimiters(text, start) {
  for (let end = start; end > 0;) {
    const from = lineAbove(text, end);
    const line = stripped(text, from, end);
    if (line[0] !== '|') return false;
    if (DELIMITERS.test(line)) return true;
    end = from;
  }
  return false;
}

/** A table ends with a blank line. */
const isRowBelow = (text, start) => start === 0 || !/^[ \t]*$/m.test(text.slice(0, start - 1));

const lineAbove = (text, start) => text.lastIndexOf('\n', start - 2) + 1;
const stripped = (text, from, to) => text.slice(from, to).replace(CONTAINERS, '').trimEnd();
