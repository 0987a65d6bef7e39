/** The words of what stands in an answer beside its text, in English; whoever calls gives those of other languages. */

export const LABELS = {
  code: 'Code',
  copy: 'Copy',
  copied: 'Copied',
  copyFailed: 'Not copied',
  wrap: 'Wrap',
  table: 'Table',
  copyTable: 'Copy as CSV',
  loadImage: 'Load image from {host}',
  imageFailed: 'The image could not be loaded:',
};
