const FIRST_S = 0.25;
const MOST_S = 5;
const GIVE_UP_S = 120;

/** Delays of attempts since the session last went on: random, growing, and over after two minutes. */
export class Backoff {
  constructor() {
    this._last = 0;
    this.wentWell();
  }

  wentWell() {
    this.attempts = 0;
    this._since = 0;
  }

  /** @param {number} leastS what the server asked for @param {boolean} now @returns {number | null} seconds; null: give up */
  next(leastS, now) {
    const clock = performance.now() / 1000;
    // A connection that stood so long went well, though nothing was heard on it.
    if (clock - this._last > GIVE_UP_S) this.wentWell();
    this._last = clock;
    if (!this.attempts) this._since = clock;
    const most = Math.min(MOST_S, FIRST_S * 2 ** Math.min(this.attempts, 30));
    const delay = (now && !this.attempts ? 0 : most * (0.5 + Math.random() / 2)) + leastS;
    if (clock + delay > this._since + GIVE_UP_S) return null;
    this.attempts++;
    return delay;
  }
}
