/** Chance with a seed, so that what a test met once can be met again: mulberry32, and what is drawn with it. */

/** The same in each run; FRONT_SEED=… draws others. */
export const SEED = Number(process.env.FRONT_SEED ?? 20_231);

export function createChance(seed = SEED) {
  let state = seed >>> 0;
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
  const below = (bound) => Math.floor(next() * bound);
  return {
    below,
    chosen: (list) => list[below(list.length)],
    happens: (share) => next() < share,
    /** The list or string, cut into pieces of 0 to `longest`. */
    cut(whole, longest) {
      const pieces = [];
      for (let from = 0; from < whole.length;) {
        const to = Math.min(whole.length, from + below(longest + 1));
        pieces.push(whole.slice(from, to));
        from = to;
      }
      return pieces;
    },
  };
}
