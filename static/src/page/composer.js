/**
 * The box for the message: grows with its text, keeps the draft, knows an Enter that sends from one that picks a word.
 * Touches the form it is given. A text leaves the box only when the server has it.
 */

/** An Enter that confirms a word of an input method. 229: Safari, where composition has already ended. */
const isComposing = (event) => event.isComposing || event.keyCode === 229;

export function createComposer({ form, storage, onSend, onStop }) {
  const box = form.elements.message;
  const send = form.elements.send;
  const stop = form.elements.stop;
  let isBusy = false;

  function fit() {
    // `field-sizing: content` does it without a script where it is known.
    if (!CSS.supports('field-sizing', 'content')) {
      box.style.height = 'auto';
      box.style.height = `${box.scrollHeight}px`;
    }
    send.disabled = box.value.trim() === '';
  }

  function submit() {
    if (box.value.trim() === '') return;
    onSend(box.value);
  }

  function put(text) {
    box.value = text;
    storage.set('draft', text);
    fit();
  }

  box.addEventListener('input', () => {
    storage.set('draft', box.value);
    fit();
  });
  box.addEventListener('keydown', (event) => {
    if (event.key !== 'Enter' || event.shiftKey || isComposing(event)) return;
    event.preventDefault();
    submit();
  });
  document.addEventListener('keydown', (event) => {
    if (event.key === 'Escape' && isBusy && !isComposing(event)) onStop();
  });
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    submit();
  });
  stop.addEventListener('click', () => {
    onStop();
    // Stop goes away with the answer; the focus it had must not fall to nowhere.
    if (document.activeElement === stop) box.focus({ preventScroll: true });
  });

  put(storage.get('draft') || box.value);

  return {
    /** The server has this text: it may go, unless the reader has written on. */
    accepted(text) {
      if (box.value.trim() === text) put('');
    },

    setBusy(value) {
      isBusy = value;
      stop.hidden = !value;
      send.hidden = value;
      form.dataset.busy = String(value);
    },

    focus() {
      // On a touch screen the focus would raise the keyboard over half of the page.
      if (matchMedia('(pointer: fine)').matches) box.focus({ preventScroll: true });
    },
  };
}
