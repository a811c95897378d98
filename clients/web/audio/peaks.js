const STEP_S = 0.01;
const MOST_S = 600;

/** The loudest sample of each 10 ms, for the newest 10 minutes. */
export class Peaks {
  constructor() {
    this._peaks = new Float32Array(MOST_S / STEP_S);
    this._filled = 0;
    this._open = 0;
    this._seen = 0;
    /** The loudest of the newest block, 0..1. */
    this.level = 0;
  }

  /** Seconds that were given. */
  get end() {
    return this._filled * STEP_S;
  }

  /** Seconds from which they are kept. */
  get start() {
    return Math.max(0, this.end - MOST_S);
  }

  /** @param {Int16Array} samples @param {number} rate in Hz */
  give(samples, rate) {
    const step = rate * STEP_S;
    this.level = 0;
    for (const sample of samples) {
      const size = Math.abs(sample) / 32768;
      if (size > this._open) this._open = size;
      if (++this._seen >= step) {
        this._peaks[this._filled++ % this._peaks.length] = this._open;
        this.level = Math.max(this.level, this._open);
        this._open = 0;
        this._seen -= step;
      }
    }
  }

  /** @param {number} from @param {number} until seconds @returns {number} the loudest between them, 0..1 */
  between(from, until) {
    const first = Math.max(Math.floor(from / STEP_S), this._filled - this._peaks.length, 0);
    const last = Math.min(Math.max(Math.ceil(until / STEP_S), first + 1), this._filled);
    let most = 0;
    for (let i = first; i < last; i++) most = Math.max(most, this._peaks[i % this._peaks.length]);
    return most;
  }
}
