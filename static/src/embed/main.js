/**
 * The chat for a frame in another site's page: the element `<delta-chat>`, with what the address says as its options.
 * Touches the document, which is the frame's alone; nothing is imported by others from here.
 */

/** Those that say how it looks and greets. Whom it asks, and as whom, no address may say. */
const OPTIONS = ['name', 'greeting', 'starters', 'lang', 'theme', 'color', 'debug'];

const chat = document.createElement('delta-chat');
// Not where it is opened by itself: a link could put words into the mouth of this server. Who may frame it is known.
if (window.parent !== window) {
  const given = new URLSearchParams(location.search);
  for (const name of OPTIONS) if (given.has(name)) chat.setAttribute(name, given.get(name));
}
document.documentElement.lang = chat.getAttribute('lang') || navigator.language;
document.body.append(chat);
