/** The cells of a table as CSV (RFC 4180). Pure; called by table.js. */

/** A spreadsheet would run what begins so as a formula; a number may begin with its sign. */
const FORMULA = /^[=+\-@\t\r]/;
const NUMBER = /^[+-]?[\d.,\s]+%?$/;

export const toCsv = (rows) => rows.map((cells) => `${cells.map(field).join(',')}\r\n`).join('');

function field(cell) {
  const text = FORMULA.test(cell) && !NUMBER.test(cell) ? `'${cell}` : cell;
  return /[",\r\n]|^\s|\s$/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
