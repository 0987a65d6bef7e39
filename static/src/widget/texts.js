/** The words of the panel: built in, or the page's own by address. Touches the network. Used by panel.js. */

import { loadWords } from '../chat/words.js';

const PATIENCE = 10_000; // ms

/** The words of the language `tag`; `address`: of a JSON file with texts, '' for those built in, which also stand in for it. */
export async function wordsOf(tag, address) {
  if (!address) return loadWords(tag);
  try {
    const response = await fetch(new URL(address, document.baseURI), { signal: AbortSignal.timeout(PATIENCE) });
    if (!response.ok) throw new Error(`status ${response.status}`);
    return await loadWords(tag, await response.json());
  } catch (error) {
    console.warn(`Deltahub widget: the texts ${address} could not be loaded (${error.message}), so these are built in.`);
    return loadWords(tag);
  }
}
