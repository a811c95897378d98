import { Peaks } from "../audio/peaks.js";
import { clock, counted } from "../talk/format.js";
import { Bands } from "./bands.js";
import { byId, token } from "./dom.js";

const PIXELS_A_SECOND = 30;
const WHOLE_S = 120;
const BAR = 3;
const AXIS = 22;
const TICKS_S = [1, 2, 5, 10, 20, 30, 60];
const TICK_PIXELS = 70;
const LEAST_PEAK = 0.15;
const SHAPE = 0.75;

/** The newest audio as it runs, the whole of it at the end, with its utterances. */
export class Waveform {
  /** @param {(id: string) => void} onPick */
  constructor(onPick) {
    this._canvas = byId("wave-canvas");
    this._bands = new Bands(byId("bands"), onPick);
    this._colours = colours();
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
      this._colours = colours();
      this._redraw?.();
    });
    this.clear();
  }

  clear() {
    this._peaks = new Peaks();
    this._over = false;
    this._bands.clear();
    this._redraw = null;
    byId("wave-empty").hidden = false;
  }

  /** @param {Int16Array} samples @param {number} rate */
  give(samples, rate) {
    this._peaks.give(samples, rate);
    byId("wave-empty").hidden = true;
  }

  /** All was heard: show it as a whole. */
  end() {
    this._over = true;
  }

  /** The loudest of the newest block, 0..1. */
  get level() {
    return this._peaks.level;
  }

  /** @param {import("../talk/talk.js").Talk} talk @param {string} picked id of an utterance */
  draw(talk, picked) {
    this._redraw = () => this.draw(talk, picked);
    const width = this._canvas.clientWidth;
    const height = this._canvas.clientHeight;
    if (!width) return;
    const [from, until] = this._window(width);
    this._paint(width, height, from, until, talk);
    this._bands.draw(talk, { from, until, now: this._peaks.end, width, picked });
    const heard = counted(talk.utterances.length, "utterance");
    this._canvas.setAttribute("aria-label", `Waveform of ${clock(this._peaks.end, 0)} of audio with ${heard}.`);
  }

  _window(width) {
    const end = this._peaks.end;
    if (this._over) return [Math.max(0, end - WHOLE_S), Math.max(end, 5)];
    const span = width / PIXELS_A_SECOND;
    const from = Math.max(0, end - span);
    return [from, from + span];
  }

  _paint(width, height, from, until, talk) {
    const scale = devicePixelRatio || 1;
    if (this._canvas.width !== Math.round(width * scale)) this._canvas.width = Math.round(width * scale);
    if (this._canvas.height !== Math.round(height * scale)) this._canvas.height = Math.round(height * scale);
    const paint = this._canvas.getContext("2d");
    paint.setTransform(scale, 0, 0, scale, 0, 0);
    paint.clearRect(0, 0, width, height);
    const seconds = (until - from) / width;
    if (!this._peaks.end) return;
    this._ticks(paint, width, height, from, seconds);
    const loudest = Math.max(LEAST_PEAK, this._peaks.between(from, until));
    const middle = (height - AXIS) / 2 + 8;
    const most = (height - AXIS) / 2 - 18;
    // Bars stand at fixed times, so that they move and do not flicker.
    const step = BAR * seconds;
    for (let n = Math.floor(from / step); n * step < Math.min(until, this._peaks.end); n++) {
      const peak = this._peaks.between(n * step, (n + 1) * step);
      const half = Math.max(0.75, (peak / loudest) ** SHAPE * most);
      paint.fillStyle = isSpeech(talk, (n + 0.5) * step) ? this._colours.speech : this._colours.silence;
      paint.fillRect((n * step - from) / seconds, middle - half, BAR - 1, 2 * half);
    }
  }

  _ticks(paint, width, height, from, seconds) {
    const every = TICKS_S.find((s) => s / seconds >= TICK_PIXELS) ?? 120;
    paint.font = `11px ${getComputedStyle(this._canvas).fontFamily}`;
    paint.textBaseline = "alphabetic";
    for (let at = Math.ceil(from / every) * every; (at - from) / seconds < width - 24; at += every) {
      const x = (at - from) / seconds;
      paint.fillStyle = this._colours.line;
      paint.fillRect(x, height - AXIS + 4, 1, 8);
      paint.fillStyle = this._colours.muted;
      paint.fillText(clock(at, 0), x + 5, height - 6);
    }
  }
}

function isSpeech(talk, at) {
  for (let i = talk.utterances.length - 1; i >= 0; i--) {
    const { start, end } = talk.utterances[i];
    if (start <= at) return end === null || at < end;
  }
  return false;
}

const colours = () => ({
  speech: token("--wave"),
  silence: token("--faint"),
  line: token("--line"),
  muted: token("--muted"),
});
