/** Answers to measure with, of any length, the same each time: prose as models write it, and shapes that are hard. */

const SENTENCES = [
  'The **hub** keeps one log for each client, and every open connection reads it by its own cursor.',
  'That means a reload, a second tab or a slow phone `costs` nothing but *another cursor*.',
  'See the [documentation](https://example.com/docs/hub) for what happens when a cursor is too old.',
  '流式输出时，**注意：**不要重新渲染整段文字，只更新最后一个块。',
  'A number like 3.14159 or a price of $12 and $15 is just text, and so is a_snake_case_name.',
];
const pick = (list, index) => list[index % list.length];

const PARTS = [
  (i) => `## Part ${i + 1}\n\n`,
  (i) => `${pick(SENTENCES, i)} ${pick(SENTENCES, i + 1)} ${pick(SENTENCES, i + 2)}\n\n`,
  (i) => `${[0, 1, 2, 3].map((n) => `- ${pick(SENTENCES, i + n)}\n`).join('')}\n`,
  (i) => `${pick(SENTENCES, i + 3)} ${pick(SENTENCES, i + 4)}\n\n`,
  (i) => `\`\`\`python\ndef part_${i}(cursor, log):\n    """Everything after the cursor."""\n    for event in log:\n        if event.id > cursor:\n            yield event\n\`\`\`\n\n`,
  (i) => `1. First, open the stream\n2. Then, \`POST\` the question\n   - with an id of your own\n   - and **without** retrying it\n3. Read on: ${pick(SENTENCES, i)}\n\n`,
  (i) => `| name | value | note |\n|---|---:|---|\n${[1, 2, 3].map((n) => `| row ${n} | ${i * n} | ${n % 2 ? '**yes**' : 'no'} |\n`).join('')}\n`,
  (i) => `> ${pick(SENTENCES, i + 1)}\n> ${pick(SENTENCES, i + 2)}\n\n`,
];

const grown = (length, part) => {
  let text = '';
  for (let i = 0; text.length < length; i += 1) text += part(i);
  return text.slice(0, length);
};

export const TEXTS = {
  answer: (length) => grown(length, (i) => pick(PARTS, i)(i)),
  table: (length) => `| id | name | value | note |\n|---|:--|---:|---|\n${grown(length, (i) => `| ${i} | item **${i}** | ${i * 37} | \`n${i}\` is fine |\n`)}`,
  code: (length) => `\`\`\`python\n${grown(length, (i) => `    value_${i} = compute(${i}, "text ${i}")  # line ${i}\n`)}`,
  list: (length) => grown(length, (i) => `- ${pick(SENTENCES, i)}\n`),
  paragraph: (length) => grown(length, (i) => `${pick(SENTENCES, i)} `),
  chinese: (length) => grown(length, (i) => (i % 5 ? '服务器把模型的回答一段一段推送给浏览器，浏览器只更新最后一个段落。' : '**要点：**断线以后从游标继续，既不丢失也不重复。\n\n')),
};

/** About four characters a token, as models have it; Chinese two. */
export function tokensOf(text) {
  return text.match(/[^]{1,4}/gu) ?? [];
}
