import { byId } from "./dom.js";
import { clearUtterance, showUtterance } from "./now.js";
import { emotionClass } from "../talk/labels.js";
import { hideSummary, showSummary } from "./summary.js";
import { clearTimings, showTimings } from "./timings.js";
import { drawTrail } from "./trail.js";
import { element } from "./dom.js";
import { Talk } from "../talk/talk.js";
import { Waveform } from "./waveform.js";

// Audio comes in blocks of 32 ms: more frames would show no more.
const FRAME_MS = 30;
const CALM_MS = 500;

/** Everything that is drawn of a talk: of the newest utterance, or of the one that was picked. */
export class Picture {
  /** @param {(id: string) => void} onPick */
  constructor(onPick) {
    this.picked = "";
    this._wave = new Waveform(onPick);
    this._talk = new Talk();
    this._running = false;
    this._drawn = 0;
    this._labels = "";
    this._calm = matchMedia("(prefers-reduced-motion: reduce)");
    addEventListener("resize", () => this._wave.draw(this._talk, this.picked));
    drawTrail(this._talk, "");
    this._wave.draw(this._talk, "");
  }

  /** The loudest of the newest audio, 0..1. */
  get level() {
    return this._wave.level;
  }

  /** Draw again and again, as the screen does, until `end`. @param {() => void} onFrame */
  run(onFrame) {
    this._running = true;
    const frame = (at) => {
      if (!this._running) return;
      requestAnimationFrame(frame);
      if (at - this._drawn < (this._calm.matches ? CALM_MS : FRAME_MS)) return;
      this._drawn = at;
      onFrame();
      this._wave.draw(this._talk, this.picked);
    };
    requestAnimationFrame(frame);
  }

  audio(samples, rate) {
    this._wave.give(samples, rate);
  }

  /** @param {Talk} talk @param {import("../talk/utterance.js").Utterance} utterance that has changed */
  utterance(talk, utterance) {
    this.changed(talk);
    if (!utterance.affect) return;
    this._legend(utterance.emotions);
    this._details();
  }

  /** @param {Talk} talk */
  changed(talk) {
    this._talk = talk;
  }

  /** @param {string} id empty: the newest @param {Talk} [talk] */
  pick(id, talk = this._talk) {
    this.picked = talk.find(id)?.affect ? id : "";
    this._talk = talk;
    this._details();
    this._wave.draw(talk, this.picked);
  }

  /** @param {Talk} talk that is over */
  end(talk) {
    this._running = false;
    this._talk = talk;
    this._wave.end();
    this._details();
    this._wave.draw(talk, this.picked);
    showSummary(talk);
  }

  clear() {
    this.picked = "";
    this._talk = new Talk();
    this._wave.clear();
    clearUtterance();
    clearTimings();
    hideSummary();
    byId("follow").hidden = true;
    drawTrail(this._talk, "");
  }

  _details() {
    const shown = this._talk.find(this.picked) ?? this._talk.newest;
    byId("follow").hidden = this.picked === "";
    drawTrail(this._talk, this.picked);
    if (!shown) return;
    showUtterance(shown);
    const timed = shown.isFinal ? shown : this._talk.utterances.findLast(({ isFinal }) => isFinal);
    if (timed) showTimings(timed);
  }

  _legend(emotions) {
    const labels = emotions.map(({ label }) => label).join();
    if (!labels || labels === this._labels) return;
    this._labels = labels;
    const keys = emotions.map(({ label }) => key(emotionClass(label), label));
    byId("legend").replaceChildren(...keys, key("unsure", "unsure or no values"));
  }
}

function key(kind, text) {
  return element("li", {}, element("span", { class: `swatch ${kind}`, "aria-hidden": "true" }), text);
}
