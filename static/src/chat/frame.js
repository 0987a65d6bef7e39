/** The still parts of the chat as elements: what stands where before anything is said. Touches nothing on the page. */

import { icon } from './icons.js';
import { make } from './text.js';

/** How the parts are called in a page of their own, and within another page, which has its own landmarks. */
const TAGS = { page: { bar: 'header', main: 'main', foot: 'footer', title: 'h1' }, part: { bar: 'div', main: 'div', foot: 'div', title: 'h2' } };

/**
 * `t`: the words; `isPage`: the chat is all of the page; `title`, `model`, `greeting`: texts, '' for none; `starters`:
 * questions to begin with; `mark`: the address of a picture, '' for none. Gives the elements by their names.
 */
export function createFrame({ t, isPage, title, model, greeting, starters, mark }) {
  const tags = isPage ? TAGS.page : TAGS.part;
  const f = {};
  f.heading = make(tags.title, { id: 'title', text: title });
  f.model = make('span', { class: 'model', id: 'model', text: model });
  f.newChat = make('button', { class: 'button', id: 'new-chat', type: 'button' }, icon('plus', 18), make('span', { text: t('chat.new') }));
  const picture = mark ? [make('img', { class: 'mark', src: mark, alt: '', width: 28, height: 28 })] : [];
  f.bar = make(tags.bar, { class: 'bar' }, ...picture, f.heading, f.model, f.newChat);
  f.notices = make('div', { class: 'notices', id: 'notices' });
  Object.assign(f, makeStage(t, tags, { model, greeting, starters }), makeFoot(t, tags));
  f.status = make('p', { class: 'unseen', id: 'status', role: 'status', 'aria-live': 'polite' });
  f.element = make('div', { class: 'chat', lang: t.language, dir: t.direction }, make('div', { class: 'sheet' },
    f.bar, f.notices, f.stage, f.foot, f.status));
  f.element.dataset.place = isPage ? 'page' : 'part';
  return f;
}

function makeStage(t, tags, { model, greeting, starters }) {
  const f = {};
  f.bannerText = make('span', { class: 'words', id: 'banner-text' });
  f.bannerTry = make('button', { class: 'button small strong', id: 'try', type: 'button', text: t('link.try') });
  f.banner = make('div', { class: 'banner', id: 'banner', hidden: '' }, f.bannerText, f.bannerTry);
  f.empty = makeEmpty(t, { model, greeting, starters });
  f.starters = [...f.empty.querySelectorAll('[data-starter]')];
  f.loading = make('p', { class: 'turn line loading', id: 'loading', text: t('chat.loading') });
  f.log = make('div', { class: 'log', id: 'log', role: 'log', 'aria-live': 'off', 'aria-label': t('chat.log') });
  f.lost = make('p', { class: 'turn line', id: 'lost', hidden: '', text: t('chat.lost') });
  f.column = make('div', { class: 'column', id: 'column' }, f.empty, f.loading, f.log, f.lost);
  const named = tags.main === 'main' ? {} : { role: 'group', 'aria-label': t('chat.log') };
  f.scroller = make(tags.main, { class: 'scroller', id: 'scroller', tabindex: '0', ...named }, f.column);
  f.stage = make('div', { class: 'stage' }, f.banner, f.scroller);
  return f;
}

function makeEmpty(t, { model, greeting, starters }) {
  const title = make('h2', { id: 'empty-title', dir: 'auto', text: greeting || t('empty.title') });
  const about = greeting ? [] : [make('p', { class: 'about', text: t('empty.about') })];
  const line = make('p', { class: 'model-line', id: 'model-line', text: model && t('empty.model', { model }) });
  line.hidden = !model;
  const items = starters.map((text) => make('li', {}, make('button', { class: 'starter', type: 'button', dir: 'auto', 'data-starter': '', text })));
  const list = items.length ? [make('ul', { class: 'starters', 'aria-label': t('empty.starters') }, ...items)] : [];
  return make('section', { class: 'empty', id: 'empty', hidden: '', 'aria-labelledby': 'empty-title' }, title, ...about, line, ...list);
}

function makeFoot(t, tags) {
  const f = {};
  f.down = make('button', { class: 'button down', id: 'down', type: 'button', hidden: '', 'aria-label': t('scroll.down') }, icon('down'));
  f.editNote = make('span', { class: 'words', text: t('edit.note') });
  f.editCancel = make('button', { class: 'button small strong', type: 'button', text: t('edit.cancel') });
  f.editing = make('div', { class: 'editing', id: 'editing', hidden: '' }, f.editNote, f.editCancel);
  f.form = makeForm(t);
  f.hint = make('span', { id: 'hint' });
  f.under = make('p', { class: 'under' }, f.hint, make('span', { class: 'caution', text: t('ask.caution') }));
  f.foot = make(tags.foot, { class: 'foot' }, f.down, f.editing, f.form, f.under);
  return f;
}

function makeForm(t) {
  const label = make('label', { class: 'unseen', for: 'message', text: t('ask.label') });
  const box = make('textarea', {
    id: 'message', name: 'message', rows: '1', dir: 'auto', enterkeyhint: 'send', 'aria-describedby': 'hint',
    placeholder: t('ask.placeholder'),
  });
  const send = make('button', { class: 'round', name: 'send', type: 'submit', disabled: '', 'aria-label': t('ask.send') }, icon('send'));
  const stop = make('button', { class: 'round', name: 'stop', type: 'button', hidden: '', 'aria-label': t('ask.stop') }, icon('stop'));
  return make('form', { class: 'ask', id: 'ask', autocomplete: 'off' }, label, box, send, stop);
}
