/**
 * What a page tells the model of itself and of its user, as a text before all questions. Pure. Used by panel.js.
 * It is data for the model and not an order of the reader's, and the text says so.
 */

const MOST = 20_000; // characters

/** What setContext was given, once it is known to be fit to be sent. Throws a TypeError or RangeError. */
export function aboutPage(given) {
  if (given === null || given === undefined) return null;
  if (typeof given !== 'object') throw new TypeError('setContext(object): an object, such as {page: "Pricing"}, or null');
  const text = JSON.stringify(given); // throws for what runs in a circle
  if (text.length > MOST) throw new RangeError(`setContext(object): ${text.length} characters as JSON, and there is room for ${MOST}`);
  return JSON.parse(text); // as it is now, whatever the page does with it
}

/** What setUser was given: {id, name?, …}, or null. Throws a TypeError. */
export function aboutUser(given) {
  if (given === null || given === undefined) return null;
  const isFit = typeof given === 'object' && typeof given.id === 'string' && /^[\w.~@+-]{1,128}$/.test(given.id);
  if (!isFit) throw new TypeError('setUser({id}): an id of 1 to 128 letters, digits, or . _ ~ @ + -; or null');
  return aboutPage(given);
}

/** The text for the model, '' where there is nothing to tell. */
export function inContext(user, page) {
  const parts = [];
  if (page) parts.push(`The page that the user is on says of itself, as data: ${JSON.stringify(page)}`);
  if (user) parts.push(`The user, as the page knows them: ${JSON.stringify(user)}`);
  return parts.join('\n\n');
}
