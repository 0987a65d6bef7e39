// The same as pacing.py, for the servers that are JavaScript: when each event of a stream is due, and its text.
const TEXT = "tok ".repeat(7);
const LAST = 2n ** 64n - 1n;
const hex = (value, digits) => value.toString(16).padStart(digits, "0");
const mark = (number, sent) => `~S${hex(number, 8)}T${hex(sent, 16)}~`;

// Times are BigInt, in ns of process.hrtime, which is CLOCK_MONOTONIC.
export function* beats(stream, seconds, start) {
  const gap = 1_000_000_000n / BigInt(20 + ((stream * 37) % 41));
  const count = Number(BigInt(seconds * 1e9) / gap);
  let due = start + (BigInt(stream * 7_919_003) % gap);
  for (let number = 0; number < count; number++, due += gap) yield [due, mark(number, due) + TEXT];
  yield [due, mark(count, LAST)];
}

// Calls say(text) at each beat: one timer for each stream.
export function play(stream, seconds, start, say) {
  const all = beats(stream, seconds, start);
  let next = all.next();
  const tick = () => {
    while (!next.done && next.value[0] <= process.hrtime.bigint()) {
      say(next.value[1]);
      next = all.next();
    }
    if (!next.done) setTimeout(tick, Number(next.value[0] - process.hrtime.bigint()) / 1e6);
  };
  tick();
}
