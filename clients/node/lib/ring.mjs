// Audio that the server may not have heard yet, by its position on the session's timeline.

export class Ring {
  #pieces = [];

  /** @param {number} frameBytes bytes of one sample of every channel */
  constructor(frameBytes) {
    this.frameBytes = frameBytes;
    /** Position after the newest audio, in samples. */
    this.end = 0;
  }

  /** Samples that are held. */
  get length() {
    return this.#pieces.length ? this.end - this.#pieces[0].start : 0;
  }

  /** Whole samples, right after those before. */
  add(data) {
    if (!data.length) return;
    const end = this.end + data.length / this.frameBytes;
    this.#pieces.push({start: this.end, end, data});
    this.end = end;
  }

  /** The server has what is before this position. */
  forget(position) {
    const kept = this.#pieces.findIndex((piece) => piece.end > position);
    this.#pieces.splice(0, kept < 0 ? this.#pieces.length : kept);
  }

  /** The piece that has this position, cut to begin there; undefined: there is no audio yet. */
  from(position) {
    // Pieces are in order, and who writes is nearly always at the last of them.
    const piece = this.#pieces.findLast(({start}) => start <= position);
    if (!piece || piece.end <= position) return undefined;
    const {start, end, data} = piece;
    return {start: position, end, data: data.subarray((position - start) * this.frameBytes)};
  }
}
