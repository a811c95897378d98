/** Why there is no audio. `kind` is one of the keys of `SOURCE_ADVICE` in view/advice.js. */
export class SourceFault extends Error {
  /** @param {string} kind @param {string} [detail] */
  constructor(kind, detail = "") {
    super(detail || kind);
    this.kind = kind;
    this.detail = detail;
  }
}
