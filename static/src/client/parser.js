/**
 * Bytes in, server-sent events out: the event stream format of the HTML standard, and nothing else.
 * Pure: no network, no clock, no DOM. Used by source.js; may be used by anyone who holds such bytes.
 *
 * A sentence marked [spec] is a rule of https://html.spec.whatwg.org/multipage/server-sent-events.html
 */

const LINE_END = /\r\n?|\n/g;
const ONLY_DIGITS = /^[0-9]+$/;

/** Characters that one unfinished event may hold: a whole answer as one snapshot fits several times. */
const MAX_EVENT = 16 * 1024 * 1024;

/**
 * A parser for one response body.
 *
 * onEvent({type, data, lastEventId}) for each event, onRetry(ms), onComment(text) as they come.
 * `lastEventId` is what the stream starts with: an event without an `id:` keeps the one before it, over
 * reconnects too. `feed` throws RangeError once an event is longer than `maxEvent`; the parser is then spent.
 */
export function createParser({ onEvent, onRetry, onComment, lastEventId = '', maxEvent = MAX_EVENT } = {}) {
  // [spec] Streams are UTF-8, wrong bytes become U+FFFD. The BOM is cut in feed(), for strings as well.
  const decoder = new TextDecoder('utf-8', { ignoreBOM: true });
  let atStart = true;
  let afterCR = false;
  let line = ''; // the line that has not ended yet
  let type = '';
  let data = '';
  let id = lastEventId;
  let settled = lastEventId;

  const fields = {
    event: (value) => { type = value; },
    // [spec] Several `data` lines are one text, joined by line feeds.
    data: (value) => { data += `${value}\n`; },
    // [spec] An id with NUL in it is no id.
    id: (value) => { if (!value.includes('\0')) id = value; },
    // [spec] `retry` counts only when it is ASCII digits and nothing else.
    retry: (value) => { if (ONLY_DIGITS.test(value)) onRetry?.(Number(value)); },
  };

  function endLine(text) {
    if (text === '') return dispatch(); // [spec] An empty line sends the event off.
    const colon = text.indexOf(':');
    if (colon === 0) return onComment?.(text.slice(1)); // [spec] A leading colon makes a comment.
    const name = colon < 0 ? text : text.slice(0, colon); // [spec] No colon: a name with an empty value.
    const from = text[colon + 1] === ' ' ? colon + 2 : colon + 1; // [spec] One space is cut, no more.
    const set = Object.hasOwn(fields, name) ? fields[name] : null; // [spec] Other names are ignored.
    return set?.(colon < 0 ? '' : text.slice(from));
  }

  function dispatch() {
    settled = id; // [spec] The id counts from here on, even where no data comes with it.
    const event = { type: type || 'message', data: data.slice(0, -1), lastEventId: id };
    const isEmpty = data === '';
    type = data = '';
    if (!isEmpty) onEvent?.(event); // [spec] Without data there is no event.
  }

  function trim(text) {
    const from = (atStart && text[0] === '\uFEFF') || (afterCR && text[0] === '\n') ? 1 : 0;
    atStart = false;
    return from ? text.slice(1) : text;
  }

  return {
    /** The next piece of the stream, cut anywhere, even inside a character or between CR and LF. */
    feed(chunk) {
      let text = typeof chunk === 'string' ? chunk : decoder.decode(chunk, { stream: true });
      if (text === '') return;
      text = trim(text);
      let from = 0;
      for (const end of text.matchAll(LINE_END)) {
        endLine(line + text.slice(from, end.index));
        line = '';
        from = end.index + end[0].length;
      }
      // [spec] CR, LF and CRLF all end a line: a CR ends it at once, a LF that follows belongs to it.
      afterCR = text.endsWith('\r');
      line += text.slice(from);
      if (line.length + data.length > maxEvent) {
        throw new RangeError(`an event of the stream is longer than ${maxEvent} characters`);
      }
    },

    /** The id to resume from: that of the last event that was sent off; an unfinished one does not count. */
    get lastEventId() {
      return settled;
    },
  };
}
