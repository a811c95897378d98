const MOST = 600;

/** When which audio was given: how long something took from there on. */
export class Given {
  constructor() {
    /** @type {{end: number, at: number}[]} */
    this._notes = [];
  }

  /** @param {number} end seconds of audio, given until now */
  note(end) {
    this._notes.push({ end, at: performance.now() });
    if (this._notes.length > MOST) this._notes.shift();
  }

  /** @param {number} position seconds of audio @returns {number | null} ms since it was given; null: not known */
  since(position) {
    const first = this._notes[0];
    if (!first || first.end > position + 1) return null;
    const found = this._notes.find(({ end }) => end >= position - 1e-6);
    return found ? performance.now() - found.at : null;
  }
}
