import { seconds } from "../talk/format.js";

/**
 * How far one session of the server is: what it has heard, what it has said, how to continue it.
 *
 * Positions are those of this page's audio, which may have begun before the session.
 */
export class Place {
  /** @param {number} origin where the session's own position 0 is @param {number} rate in Hz */
  constructor(origin, rate) {
    this.origin = origin;
    this.id = "";
    this.heardUntil = origin;
    this.finalUntil = origin;
    this.closed = "";
    this._rate = rate;
    this._token = "";
    this._sequence = 0;
    this._ahead = new Set();
  }

  get resumable() {
    return this._token !== "";
  }

  /** The `resume` of the next config. */
  get resume() {
    return {
      sessionId: this.id,
      resumeToken: this._token,
      audioOffsetSamples: String(this.heardUntil - this.origin),
      lastSequence: String(this._sequence),
    };
  }

  /** Note an event. False: it came before. The first one of a stream is newer than what was missed, which comes next. */
  take(event) {
    const sequence = Number(event.sequence ?? 0);
    if (sequence) {
      if (sequence <= this._sequence || this._ahead.has(sequence)) return false;
      if (event.sessionStarted) this._ahead.add(sequence);
      else this._sequence = sequence;
      while (this._ahead.delete(this._sequence + 1)) this._sequence++;
    }
    this._note(event);
    return true;
  }

  _note(event) {
    if (event.sessionStarted) {
      this.id = event.sessionId;
      this._token = event.sessionStarted.resumeToken ?? "";
      this._heard(event.sessionStarted.acceptedUntilSamples);
    } else if (event.progress) {
      this._heard(event.progress.receivedUntilSamples);
      this._final(Number(event.progress.finalUntilSamples ?? 0));
    } else if (event.affect?.stage === "STAGE_FINAL") {
      this._final(Math.round(seconds(event.affect.audioEnd) * this._rate));
    } else if (event.sessionClosed) {
      this.closed = event.sessionClosed.reason;
    }
  }

  _heard(position) {
    this.heardUntil = Math.max(this.heardUntil, this.origin + Number(position ?? 0));
  }

  _final(position) {
    this.finalUntil = Math.max(this.finalUntil, this.origin + position);
  }
}
