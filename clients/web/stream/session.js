import { Ring } from "../audio/ring.js";
import { Backoff } from "./backoff.js";
import { serverInfo } from "./info.js";
import { Ending, Line } from "./line.js";
import { Place } from "./place.js";
import { remedy } from "./remedy.js";

const RING_S = 10;
const STALL_S = RING_S / 2;
const START_S = 10;
const PIECE_S = 0.5;
const MOST_WAITING_BYTES = 64 * 1024;
const LOOK_MS = 250;
const NO_SESSION = new Set(["SESSION_NOT_FOUND", "DRAINING", "SESSION_AGE"]);

/**
 * One talk over as many connections as it takes; see docs/resume.md for what they say.
 *
 * @typedef {object} Told
 * @property {(event: object, originS: number) => void} onEvent each once; its times count from `originS`
 * @property {(state: State) => void} onState
 * @property {(startS: number, endS: number) => void} onLost audio that no server will hear
 * @property {(originS: number) => void} onNewSession what has no final event is heard again from there on
 *
 * @typedef {{name: "connecting" | "live" | "waiting" | "ending" | "ended" | "failed", ending?: Ending, tryInS?: number}} State
 */
export class Session {
  /** @param {{token: string, config: object, rate: number} & Told} options */
  constructor({ token, config, rate, onEvent, onState, onLost, onNewSession }) {
    this.rate = rate;
    this.ring = new Ring(RING_S * rate);
    this.state = { name: "connecting" };
    this._token = token;
    this._config = config;
    this._told = { onEvent, onState, onLost, onNewSession };
    this._place = new Place(0, rate);
    this._backoff = new Backoff();
    this._sent = 0;
    this._ending = this._ended = false;
    this._tryNow = () => this.tryNow();
  }

  /** Seconds of audio that were given. */
  get givenS() {
    return this.ring.end / this.rate;
  }

  /** Samples that can be given without any falling out that the server may want. */
  get room() {
    const wanted = Math.max(this._place.finalUntil, this._place.heardUntil - this.ring.capacity / 2);
    return Math.max(0, this.ring.capacity - (this.ring.end - wanted));
  }

  open() {
    addEventListener("online", this._tryNow);
    this._timer = setInterval(() => this._look(), LOOK_MS);
    this._connect();
  }

  /** @param {Int16Array} samples */
  give(samples) {
    if (this._ending) return;
    this.ring.add(samples);
    this._pump();
  }

  /** All audio was given: the last events come, then the state is "ended". */
  end() {
    if (this._ending) return;
    this._ending = true;
    if (this.state.name === "live") this._say({ name: "ending" });
    this._pump();
  }

  /** Leave at once. */
  stop() {
    this._finish({ name: "ended" });
  }

  /** Do not wait for the next attempt. */
  tryNow() {
    if (this.state.name !== "waiting") return;
    clearTimeout(this._next);
    this._connect();
  }

  _connect() {
    this._say({ ...this.state, name: "connecting", tryInS: undefined });
    this._started = this._endSent = false;
    const resume = this._place.resumable ? { resume: this._place.resume } : {};
    this._line = null;
    try {
      this._line = new Line({
        token: this._token,
        config: { ...this._config, ...resume },
        onEvent: (event) => this._heard(event),
        onEnd: (ending) => this._lost(ending),
      });
      this._since = performance.now();
    } catch {
      // A WebSocket's protocols cannot hold every character.
      this._finish({ name: "failed", ending: new Ending({ code: 4401, reason: "TOKEN_CHARACTERS" }) });
    }
  }

  _heard(event) {
    this._since = performance.now();
    if (event.sessionStarted) this._begin(event);
    if (!this._place.take(event)) return;
    // Not by its start: what fails right after it, each time, would be tried for ever.
    if (event.sequence && !event.sessionStarted) this._backoff.wentWell();
    this._told.onEvent(event, this._place.origin / this.rate);
    this._pump();
  }

  _begin(event) {
    const { resumed = false, acceptedUntilSamples = "0" } = event.sessionStarted;
    if (!resumed && this._place.id) this._startAnew();
    const position = this._place.origin + Number(acceptedUntilSamples);
    // The stream began where the server was thought to be; its first audio says where it is.
    this._numbered = resumed;
    this._sent = Math.min(position, this.ring.end);
    this._started = true;
    this._say({ name: this._ending ? "ending" : "live" });
  }

  _startAnew() {
    const before = this._place;
    const origin = Math.max(before.finalUntil, this.ring.start);
    this._note(before.finalUntil, origin);
    this._place = new Place(origin, this.rate);
    this._told.onNewSession(origin / this.rate);
  }

  _pump() {
    if (!this._started || !this._line?.isOpen) return;
    while (this._sent < this.ring.end && this._line.waiting < MOST_WAITING_BYTES) {
      if (this._sent < this.ring.start) {
        this._note(this._sent, this.ring.start);
        this._sent = this.ring.start;
        this._numbered = true;
      }
      const piece = this.ring.read(this._sent, PIECE_S * this.rate);
      this._line.audio(piece, this._numbered ? this._sent - this._place.origin : null);
      this._sent += piece.length;
      this._numbered = false;
    }
    if (this._ending && !this._endSent && this._sent === this.ring.end) {
      this._endSent = true;
      this._line.control({ endOfAudio: {} });
    }
  }

  _look() {
    this._pump();
    const quietS = (performance.now() - this._since) / 1000;
    const owed = !this._started || this._endSent || this._sent - this._place.heardUntil > (STALL_S * this.rate) / 2;
    // Seen twice, since a tab that wakes sees its clock before what was said to it.
    const stalled = Boolean(this._line) && owed && quietS > (this._started ? STALL_S : START_S);
    if (stalled && this._stalled) this._line.drop(new Ending({ code: 4408, reason: "NO_ANSWER" }));
    this._stalled = stalled;
  }

  async _lost(ending) {
    this._line = null;
    this._started = false;
    if (this._ended) return;
    if (this._place.closed === "CLOSE_REASON_END_OF_AUDIO") {
      this._finish({ name: "ended" });
      return;
    }
    // A browser does not say why a WebSocket was not let in.
    if (!ending.opened) ending = await serverInfo(this._token).then(() => ending, (why) => why);
    if (this._ended) return;
    const helps = remedy(ending);
    if (NO_SESSION.has(ending.reason)) this._forget();
    const delay = helps === "stop" ? null : this._backoff.next(ending.retryAfterS, helps === "resume-now");
    if (delay === null) {
      this._finish({ name: "failed", ending });
      return;
    }
    this._say({ name: "waiting", ending, tryInS: delay });
    this._next = setTimeout(() => this._connect(), delay * 1000);
  }

  /** The server has the session no more: the next connection begins another, from what had no final event on. */
  _forget() {
    const gone = this._place;
    this._place = new Place(gone.origin, this.rate);
    Object.assign(this._place, { id: gone.id, heardUntil: gone.heardUntil, finalUntil: gone.finalUntil });
  }

  _note(start, end) {
    if (end > start) this._told.onLost(start / this.rate, end / this.rate);
  }

  _finish(state) {
    if (this._ended) return;
    this._ended = this._ending = true;
    clearInterval(this._timer);
    clearTimeout(this._next);
    removeEventListener("online", this._tryNow);
    this._line?.drop(new Ending({ code: 1000 }));
    this._say(state);
  }

  _say(state) {
    this.state = state;
    this._told.onState(state);
  }
}
