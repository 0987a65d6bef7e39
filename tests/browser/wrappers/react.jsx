/** A page of React's with the wrapper in it: `app.show(options)`, again with others, `app.hide()`; `told` is what it heard. */

import { StrictMode } from 'react';
import { createRoot } from 'react-dom/client';
import { DeltaChat } from 'wrapper';

const root = createRoot(document.querySelector('#app'));
window.told = [];

window.app = {
  show: (options) => root.render(<StrictMode><DeltaChat {...options} onMessage={({ role, text }) => window.told.push([role, text])} /></StrictMode>),
  hide: () => root.render(null),
};
