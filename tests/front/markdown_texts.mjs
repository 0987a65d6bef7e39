/** Markdown drawn by chance, of what models write and of what trips a reader up; and what is shown of it, as values. */

const WORDS = ['one', 'two', 'three words here', '中文', '注意：', 'a_b_c', '5*3', '$5', 'x', '1', '😀', '👩‍👩‍👧', 'café', '"quoted"', 'end.', 'مرحبا'];
const TIDY = [
  (c) => c.chosen(WORDS),
  (c) => `**${c.chosen(WORDS)}**`, (c) => `*${c.chosen(WORDS)}*`, (c) => `_${c.chosen(WORDS)}_`, (c) => `~~${c.chosen(WORDS)}~~`,
  (c) => `\`${c.chosen(WORDS)}\``, (c) => `\`\`a \` ${c.chosen(WORDS)}\`\``, (c) => `[${c.chosen(WORDS)}](https://a.example/${c.below(9)}?q=1_2*3)`,
  (c) => `[${c.chosen(WORDS)}][ref${c.below(3)}]`, (c) => `[ref${c.below(3)}]`, (c) => `![${c.chosen(WORDS)}](https://a.example/i.png)`,
  () => '<https://a.example>', () => 'https://b.example/x_y', () => '<br>', () => '<b>raw</b>', () => '&amp;', () => '\\*not\\*',
  () => '\\(a_b\\)', () => '$$c_d$$',
];
const STRAY = [
  () => '**', () => '*', () => '`', () => '[', () => ']', () => '](', () => '![', () => '<', () => '\\', () => '$$', () => '~',
  (c) => `**${c.chosen(WORDS)} *${c.chosen(WORDS)}* \`x\`**`, () => '  \n', () => '\n',
];
export const sentence = (c) => Array.from({ length: 1 + c.below(8) }, () => c.chosen(c.isTidy || c.happens(0.6) ? TIDY : STRAY)(c)).join(c.isTidy || c.happens(0.8) ? ' ' : '');
const plain = (c) => sentence(c).replaceAll('\n', ' ');
const code = (c, fence) => `${fence}${c.chosen(['', 'py', 'js title', 'c++'])}\n${c.chosen(['', 'x = 1\n', 'a\n\n  b\n', '`` inner\n', '# no\n- no\n', '| a |\n|--|\n'])}${fence}`;
const table = (c) => `| a | ${plain(c)} |\n|---|:-:|\n${Array.from({ length: c.below(5) }, () => `| ${plain(c)} | ${c.below(100)} |\n`).join('')}`;
const list = (c, mark) => Array.from({ length: 1 + c.below(4) }, (_, i) => {
  const inner = c.chosen([() => '', () => '\n\n    more of it', () => `\n    - nested ${plain(c)}\n    - [x] done`, () => `\n    ${code(c, '```').replaceAll('\n', '\n    ')}`, () => '\n']);
  return `${mark(i)} ${c.chosen(['', '', '[ ] ', '[x] '])}${plain(c)}${inner()}`;
}).join('\n');

const TIDY_BLOCKS = [
  (c) => sentence(c), (c) => sentence(c), (c) => sentence(c),
  (c) => `${'#'.repeat(1 + c.below(6))} ${plain(c)}`,
  (c) => code(c, '```'), (c) => code(c, '~~~~'),
  (c) => list(c, () => '-'), (c) => list(c, () => '*'), (c) => list(c, (i) => `${i + 1}.`), (c) => list(c, (i) => `${i + 7})`),
  (c) => table(c), (c) => `> ${plain(c)}\n> ${plain(c)}\n\n`, (c) => `> - ${plain(c)}\n> - b\n>\n> after`, (c) => `> ${code(c, '```').replaceAll('\n', '\n> ')}`,
  () => '---', () => '* * *',
];
const STRAY_BLOCKS = [
  (c) => `${plain(c)}\n---`, (c) => `${plain(c)}\n===`, (c) => `  ${code(c, '```')}`, () => '***', () => '    indented\n\n    code', (c) => `[ref${c.below(3)}]: https://r.example/${c.below(9)} "t"`,
  () => '[Note]: this is a sentence', () => '[^1]: a footnote', () => '\\[\nx = 1\n+ y\n\\]', () => '$$\na\n= b\n$$', () => '$$ never closed', () => '\\[ never',
  () => '<div>\n**x**\n</div>', () => '<!-- c -->', () => '- ', () => '1.', () => '| a', () => '|', () => '```', () => 'a | b\n- | -\n1 | 2',
];

/** An answer as models mean it: every mark has its end, every table its rows. */
export function drawnAnswer(c) {
  const tidy = { ...c, isTidy: true };
  return Array.from({ length: 1 + c.below(7) }, () => c.chosen(TIDY_BLOCKS)(tidy)).join('\n\n');
}

/** A document of a few blocks, some of them well made. */
export function drawnMarkdown(c) {
  const blocks = Array.from({ length: 1 + c.below(7) }, () => c.chosen(c.happens(0.6) ? TIDY_BLOCKS : STRAY_BLOCKS)(c));
  return blocks.reduce((text, block) => `${text}${c.chosen(['\n\n', '\n\n', '\n\n', '\n', '\n\n\n', '\n \n'])}${block}`);
}

/** What stands after the tokens of each read() were drawn, as document.js does it. */
export class Shown {
  blocks = [];
  #settled = 0;

  take({ tokens, settled }) {
    tokens.forEach((token, index) => { this.blocks[this.#settled + index] = this.#next(this.blocks[this.#settled + index], token); });
    if (tokens.length) this.blocks.length = this.#settled + tokens.length;
    this.#settled += settled;
  }

  #next(before, token) {
    if (token.more !== undefined) return { ...token, text: (before?.type === 'code' && before.isOpen ? before.text : '') + token.more, isOpen: !token.isClosed };
    if (!token.from) return token;
    const grown = (name) => token[name] && [...before[name].slice(0, token.from), ...token[name]];
    return { ...before, ...token, start: before.start, header: token.header ?? before.header, items: grown('items'), rows: grown('rows') };
  }

  get values() {
    return this.blocks.map(valueOf);
  }
}

/** What of a token is seen. */
export function valueOf({ type, text, raw, depth, ordered, start, loose, items, tokens, rows, header, lang, task, checked, tex, isOpen }) {
  if (type === 'list') return { type, ordered, start, loose, items: items.map((item) => ({ ...taskOf(item), tokens: nested(item.tokens) })) };
  if (type === 'table') return { type, header: header.map((cell) => cell.text), rows: rows.map((cells) => cells.map((cell) => cell.text)) };
  if (type === 'blockquote') return { type, tokens: nested(tokens) };
  if (type === 'code') return { type, lang: lang?.trim() ?? '', text: text.replace(/\n+$/, '') };
  if (type === 'formula') return { type, tex, isOpen };
  if (type === 'plain') return { type, raw };
  return { type: type === 'text' ? 'paragraph' : type, depth, text: text?.trimEnd() };
}

const taskOf = ({ task, checked }) => (task ? { checked } : {});
const nested = (tokens) => tokens.filter(({ type }) => !['space', 'def', 'checkbox'].includes(type)).map((token) => valueOf(unboxed(token)));
const unboxed = (token) => (token.tokens?.[0]?.type === 'checkbox' ? { ...token, text: token.text.replace(/^\[[ xX]\][ \t]+/, '') } : token);
