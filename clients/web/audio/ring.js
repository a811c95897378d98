/** The newest audio by position, so that a new connection can be given it again. */
export class Ring {
  /** @param {number} capacity in samples */
  constructor(capacity) {
    this.capacity = capacity;
    /** Position after the newest sample. */
    this.end = 0;
    this._samples = new Int16Array(capacity);
  }

  /** Position of the oldest sample that is kept. */
  get start() {
    return Math.max(0, this.end - this.capacity);
  }

  /** @param {Int16Array} samples they go after those before; of more than fits the newest stay */
  add(samples) {
    const kept = samples.length > this.capacity ? samples.subarray(samples.length - this.capacity) : samples;
    const at = (this.end + samples.length - kept.length) % this.capacity;
    const first = Math.min(kept.length, this.capacity - at);
    this._samples.set(kept.subarray(0, first), at);
    this._samples.set(kept.subarray(first), 0);
    this.end += samples.length;
  }

  /**
   * @param {number} position from here on; what is no longer kept is left out
   * @param {number} most samples
   * @returns {Int16Array} a copy
   */
  read(position, most) {
    const from = Math.max(position, this.start);
    const count = Math.max(0, Math.min(most, this.end - from));
    const found = new Int16Array(count);
    const at = from % this.capacity;
    const first = Math.min(count, this.capacity - at);
    found.set(this._samples.subarray(at, at + first));
    found.set(this._samples.subarray(0, count - first), first);
    return found;
  }
}
