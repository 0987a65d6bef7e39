/**
 * A colour that somebody chose, made fit to be read: WCAG 2.2 asks for 4.5 : 1 of text and 3 : 1 of shapes. Pure.
 * Used by the widget.
 */

const ENOUGH = 4.5;
const STEP = 0.04; // of the way to black or white, until it can be read

/** [r, g, b] of '#rgb' or '#rrggbb', or null. */
export function parse(text) {
  const hex = /^#(?:[\da-f]{3}|[\da-f]{6})$/i.exec(text)?.[0].slice(1);
  if (!hex) return null;
  const whole = hex.length === 3 ? [...hex].map((digit) => digit + digit).join('') : hex;
  return [0, 2, 4].map((at) => parseInt(whole.slice(at, at + 2), 16));
}

/** How well two colours are told apart, 1 to 21. */
export function contrast(one, other) {
  const [light, dark] = [luminance(one), luminance(other)].sort((a, b) => b - a);
  return (light + 0.05) / (dark + 0.05);
}

/** The variables of chat.css for a chosen colour, over a ground: the colour itself where it can be read there. */
export function shades(color, ground) {
  const target = luminance(ground) > 0.5 ? [0, 0, 0] : [255, 255, 255];
  let accent = color;
  for (let part = STEP; contrast(accent, ground) < ENOUGH; part += STEP) accent = mixed(color, target, Math.min(part, 1));
  const isLight = contrast(accent, [0, 0, 0]) > contrast(accent, [255, 255, 255]);
  return {
    '--accent': css(accent), '--accent-strong': css(mixed(accent, target, 0.15)),
    '--on-accent': isLight ? '#000000' : '#ffffff', '--halo': `rgb(${accent.join(' ')} / 20%)`,
  };
}

function luminance(color) {
  const [r, g, b] = color.map((value) => (value <= 10 ? value / 3294.6 : ((value / 255 + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

const mixed = (from, to, part) => from.map((value, at) => Math.round(value + (to[at] - value) * part));

const css = (color) => `#${color.map((value) => value.toString(16).padStart(2, '0')).join('')}`;
