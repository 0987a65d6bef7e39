/**
 * Images of an answer, which nobody loads unasked: the address of an image can carry away what the conversation said.
 * In the place of each stands a button that names the host it would ask. Called by inline.js.
 */

import { imageAt } from './links.js';
import { button, make } from './nodes.js';

/** The node for an image: a button in a box, or its words where it is not to be had. */
export function imageChip({ href, text }, { labels, imageWords }) {
  const image = imageAt(href);
  if (imageWords || !image) return make('span', 'md-refused', text || href);
  const chip = button('image', 'md-image', labels.loadImage.replace('{host}', image.host));
  if (text) chip.append(': ', make('bdi', '', text));
  chip.title = image.href;
  chip.dataset.src = image.href;
  chip.dataset.alt = text;
  return make('span', 'md-picture', chip);
}

/** The reader asked for it. `loadImage(chip, labels)` is called by actions.js. */
export function loadImage(chip, labels) {
  const image = make('img');
  image.alt = chip.dataset.alt;
  image.referrerPolicy = 'no-referrer';
  image.decoding = 'async';
  image.addEventListener('error', () => image.replaceWith(unavailable(chip, labels)));
  image.src = chip.dataset.src;
  chip.replaceWith(image);
}

/** The page's policy may forbid what its reader allowed: then the way to it is a link. */
function unavailable({ dataset: { src, alt } }, labels) {
  const link = make('a', '', alt || src);
  Object.assign(link, { href: src, title: src, target: '_blank', rel: 'noopener noreferrer nofollow' });
  return make('span', 'md-failed', `${labels.imageFailed} `, link);
}
