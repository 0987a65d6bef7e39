/** How the panel looks as its page wants it: theme, own colour, side. Touches the elements it is given. Used by panel.js. */

import { contrast, shades } from '../chat/shade.js';

const GROUNDS = { light: [233, 241, 239], dark: [32, 48, 47] }; // --tint of chat.css, the worst ground for an accent

/** frame: the chat's element; box: the window's; options: see options.js; isDark: as the reader's system has it. */
export function dress({ frame, box, options: { theme, color, position }, isDark }) {
  frame.dataset.theme = theme === 'auto' ? (isDark ? 'dark' : 'light') : theme;
  box.classList.toggle('left', position === 'left');
  const own = shades(color ?? [0, 0, 0], GROUNDS[frame.dataset.theme]);
  for (const [name, value] of Object.entries(own)) frame.style.setProperty(name, color ? value : '');
}

/** The button has a ground of its own, so what was chosen stays; only its drawing must be seen on it. */
export function launcherColors(color) {
  if (!color) return { '--own': '', '--on-own': '' };
  const isLight = contrast(color, [0, 0, 0]) > contrast(color, [255, 255, 255]);
  return { '--own': `rgb(${color.join(' ')})`, '--on-own': isLight ? '#000000' : '#ffffff' };
}
