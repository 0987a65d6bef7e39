/** The few drawings of the chat, as elements. Touches nothing. */

const NS = 'http://www.w3.org/2000/svg';
const LINE = { fill: 'none', stroke: 'currentColor', 'stroke-width': '1.8', 'stroke-linecap': 'round', 'stroke-linejoin': 'round' };
const DRAWINGS = {
  plus: ['path', { d: 'M10 4v12M4 10h12', ...LINE }],
  close: ['path', { d: 'M5 5l10 10M15 5L5 15', ...LINE }],
  down: ['path', { d: 'M10 4v12M5 11l5 5 5-5', ...LINE }],
  send: ['path', { d: 'M10 16V4M5 9l5-5 5 5', ...LINE, 'stroke-width': '2' }],
  stop: ['rect', { x: '5', y: '5', width: '10', height: '10', rx: '2.5', fill: 'currentColor' }],
};

export function icon(name, size = 20) {
  const [shape, attributes] = DRAWINGS[name];
  const svg = draw('svg', { viewBox: '0 0 20 20', width: size, height: size, 'aria-hidden': 'true' });
  svg.append(draw(shape, attributes));
  return svg;
}

function draw(tag, attributes) {
  const element = document.createElementNS(NS, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}
