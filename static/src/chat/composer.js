/**
 * The box for the message: grows with its text, keeps the draft, knows an Enter that sends from one that picks a word.
 * Touches the parts of the frame it is given. A text leaves the box only when the server has it.
 */

const LONG = 20_000; // characters from which the box is as high as it gets, since to measure them takes seconds

/** An Enter that confirms a word of an input method. 229: Safari, where composition has already ended. */
const isComposing = (event) => event.isComposing || event.keyCode === 229;

/**
 * frame: see frame.js. onSend(text, editing): `editing` is the generationId of the question that is changed, or ''.
 * onUp(): the reader wants to change the last question.
 */
export function createComposer({ frame, storage, onSend, onStop, onUp }) {
  const { form, editing: note } = frame;
  const { message: box, send, stop } = form.elements;
  let isBusy = false;
  let editing = storage.get('editing');

  const draftName = () => (editing ? 'draft.edit' : 'draft');

  function fit() {
    box.classList.toggle('long', box.value.length > LONG);
    // `field-sizing: content` does it without a script where it is known.
    if (!CSS.supports('field-sizing', 'content')) {
      box.style.height = 'auto';
      box.style.height = `${box.scrollHeight}px`;
    }
    send.disabled = box.value.trim() === '';
    form.dispatchEvent(new Event('drafted'));
  }

  function keep() {
    storage.set(draftName(), box.value, { tabOnly: Boolean(editing) });
    fit();
  }

  function put(text) {
    box.value = text;
    keep();
  }

  function submit() {
    if (box.value.trim() !== '') onSend(box.value, editing);
  }

  function edit(generationId, text) {
    editing = generationId;
    storage.set('editing', generationId, { tabOnly: true });
    note.hidden = !generationId;
    put(text);
  }

  /** Back to what was being written before. */
  function leaveEditing() {
    storage.set('draft.edit', '', { tabOnly: true });
    edit('', storage.get('draft'));
  }

  box.addEventListener('input', keep);
  box.addEventListener('keydown', (event) => {
    if (isComposing(event)) return;
    const wantsLast = event.key === 'ArrowUp' && box.value === '' && !isBusy && !editing;
    if (event.key === 'Escape' && editing) leaveEditing();
    else if (wantsLast) onUp();
    else if (event.key === 'Enter' && !event.shiftKey) submit();
    else return;
    event.preventDefault();
    event.stopPropagation();
  });
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    submit();
  });
  stop.addEventListener('click', () => {
    onStop();
    // Stop goes away with the answer; the focus it had must not fall to nowhere.
    if (box.getRootNode().activeElement === stop) box.focus({ preventScroll: true });
  });
  frame.editCancel.addEventListener('click', () => {
    leaveEditing();
    box.focus({ preventScroll: true });
  });

  note.hidden = !editing;
  put(storage.get(draftName()) || box.value);

  return {
    /** The server has this text: it may go, unless the reader has written on. */
    accepted(text) {
      if (box.value.trim() !== text) return;
      if (editing) leaveEditing();
      else put('');
    },

    edit(generationId, text) {
      edit(generationId, text);
      box.focus({ preventScroll: true });
      box.setSelectionRange(text.length, text.length);
    },

    /** Esc stops the answer, where it is not used for something else. */
    escape(event) {
      if (event.key === 'Escape' && isBusy && !isComposing(event)) onStop();
    },

    /** The question that was being changed is gone: its text is a draft like any other now. */
    letGo() {
      const text = box.value;
      leaveEditing();
      put(text);
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
