/**
 * Which addresses of an answer may be followed, by a list of what is allowed: an answer can be made to say anything.
 * Pure; called by whatever makes a link or an image.
 */

const LINKS = new Set(['http:', 'https:', 'mailto:', 'tel:']);
const IMAGES = new Set(['http:', 'https:']);

/** {href, host} or null. What is relative, `#place` too, would be the host page's: its router may obey it. */
export function linkTo(address) {
  const url = absolute(address);
  return url && LINKS.has(url.protocol) ? { href: url.href, host: url.host } : null;
}

/** {href, host} or null. A data: address could hold a whole document, and nobody could tell whom it asks. */
export function imageAt(address) {
  const url = absolute(address);
  return url && IMAGES.has(url.protocol) ? { href: url.href, host: url.host } : null;
}

/** Is this written as an address at all? A "definition" like `[Note]: important` is a sentence to be kept. */
export const isAddress = (text) => /^(?:<|https?:|mailto:|tel:|www\.|[#/.]|[\w-]+(?:\.[\w-]+)+(?:[/?#]|$))/i.test(text);

function absolute(address) {
  // A browser drops tabs and line ends from an address, and control characters at its ends: what hides so is refused.
  if (/[\u0000-\u001f\u007f\u200b-\u200f\u202a-\u202e\u2066-\u2069]/.test(address)) return null;
  const url = parsed(address);
  // A name before the host makes an address look like another one, and serves nobody else.
  return url && !url.username && !url.password ? url : null;
}

function parsed(address) {
  try {
    return new URL(address);
  } catch {
    return null;
  }
}
