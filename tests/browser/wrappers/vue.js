/** A page of Vue's with the wrapper in it: `app.show(options)`, again with others, `app.hide()`; `told` is what it heard. */

import { createApp, h, shallowRef } from 'vue';
import DeltaChat from 'wrapper';

const options = shallowRef(null);
window.told = [];
const onMessage = ({ role, text }) => window.told.push([role, text]);

createApp({ render: () => options.value && h(DeltaChat, { ...options.value, onMessage }) }).mount('#app');

window.app = {
  show: (given) => { options.value = given; },
  hide: () => { options.value = null; },
};
