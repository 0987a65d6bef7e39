/** Whether the page is looked at, and when it is again. Touches nothing but that. Used by source.js and shared.js. */

const OF_WINDOW = ['pageshow', 'online'];

export const isHidden = () => Boolean(globalThis.document?.hidden);

/** Calls `act` whenever the page wakes or its network is back; what it returns ends that. */
export function onWake(act) {
  const wake = () => { if (!isHidden()) act(); };
  for (const name of OF_WINDOW) globalThis.addEventListener?.(name, wake);
  globalThis.document?.addEventListener('visibilitychange', wake);
  return () => {
    for (const name of OF_WINDOW) globalThis.removeEventListener?.(name, wake);
    globalThis.document?.removeEventListener('visibilitychange', wake);
  };
}
