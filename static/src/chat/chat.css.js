/** The styles as a text, for adoptedStyleSheets; the build puts the text in the place of this module. */
export default await (await fetch(new URL('./chat.css', import.meta.url))).text();
