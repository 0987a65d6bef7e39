/**
 * Keeps the end of the conversation in sight, but only for a reader who is there: whoever scrolls up is left in peace.
 * Touches one scrolling element, what it holds, and the button that leads back down.
 */

const NEAR = 40; // px from the end that still count as the end

export function followEnd({ scroller, content, button }) {
  let isOn = false; // there is a conversation, so there is an end worth seeing
  let following = false;
  let lastTop = 0;

  const distance = () => scroller.scrollHeight - scroller.clientHeight - scroller.scrollTop;

  function follow(value) {
    following = isOn && value;
    button.hidden = !isOn || value || distance() < NEAR;
  }

  function toEnd() {
    scroller.scrollTop = scroller.scrollHeight;
    lastTop = scroller.scrollTop;
    follow(true);
  }

  // Only the reader moves the page up; text and the keyboard below can only push the end away.
  scroller.addEventListener('scroll', () => {
    const top = scroller.scrollTop;
    if (distance() < NEAR) follow(true);
    else if (top < lastTop - 1 || !following) follow(false);
    lastTop = top;
  }, { passive: true });
  // A wheel turned up releases at once, also when the next text would come before the scroll event.
  scroller.addEventListener('wheel', ({ deltaY }) => {
    if (deltaY < 0 && scroller.scrollTop > 0) follow(false);
  }, { passive: true });
  button.addEventListener('click', toEnd);

  const keep = () => { if (following) toEnd(); else follow(false); };
  const observer = new ResizeObserver(keep);
  observer.observe(scroller);
  observer.observe(content);

  return {
    keep,
    toEnd,
    close: () => observer.disconnect(),

    /** With the first turn the end is followed; a page without any begins at its top. */
    turn(on) {
      isOn = on;
      if (on) toEnd();
      else {
        scroller.scrollTop = 0;
        follow(false);
      }
    },
  };
}
