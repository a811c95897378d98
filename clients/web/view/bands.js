import { emotionClass } from "../talk/labels.js";
import { element } from "./dom.js";

const NAMED_PIXELS = 66;

/** The utterances over the waveform. The log has the same for keyboards and screen readers. */
export class Bands {
  /** @param {HTMLElement} place @param {(id: string) => void} onPick */
  constructor(place, onPick) {
    this._place = place;
    /** @type {Map<string, HTMLElement>} */
    this._shown = new Map();
    place.addEventListener("click", ({ target }) => {
      const band = /** @type {Element} */ (target).closest("[data-id]");
      if (band) onPick(band.getAttribute("data-id") ?? "");
    });
  }

  clear() {
    this._shown.clear();
    this._place.replaceChildren();
  }

  /**
   * @param {import("../talk/talk.js").Talk} talk
   * @param {{from: number, until: number, now: number, width: number, picked: string}} view seconds, and pixels
   */
  draw(talk, { from, until, now, width, picked }) {
    const gone = new Set(this._shown.keys());
    const show = (key, start, end, fill) => {
      if (end <= from || start >= until) return;
      gone.delete(key);
      const band = this._band(key);
      const left = Math.max(start, from);
      const pixels = ((Math.min(end, until) - left) / (until - from)) * width;
      band.style.insetInlineStart = `${(((left - from) / (until - from)) * 100).toFixed(3)}%`;
      band.style.inlineSize = `${((pixels / width) * 100).toFixed(3)}%`;
      fill(band, pixels);
    };
    for (const utterance of talk.utterances) {
      show(utterance.id, utterance.start, utterance.end ?? now, (band, pixels) => fill(band, utterance, pixels, picked));
    }
    talk.lost.forEach(({ start, end }, index) => show(`lost-${index}`, start, end, fillLost));
    for (const key of gone) {
      this._shown.get(key)?.remove();
      this._shown.delete(key);
    }
  }

  _band(key) {
    let band = this._shown.get(key);
    if (!band) {
      band = element("div", {}, element("span"));
      this._shown.set(key, band);
      this._place.append(band);
    }
    return band;
  }
}

function fill(band, utterance, pixels, picked) {
  const sure = utterance.isSure;
  const kind = sure ? emotionClass(utterance.label) : utterance.isFinal ? "unsure" : "open";
  const marks = utterance.id === picked ? " picked" : "";
  set(band, `band ${kind}${marks}`, utterance.number + (pixels > NAMED_PIXELS ? ` ${sure ? utterance.label : word(utterance)}` : ""));
  if (band.dataset.id !== utterance.id) band.dataset.id = utterance.id;
}

function word(utterance) {
  if (!utterance.isFinal) return utterance.status === "OPEN" ? "…" : "";
  return utterance.hasValues ? "unsure" : "no values";
}

function fillLost(band, pixels) {
  set(band, "band lost", pixels > NAMED_PIXELS ? "not heard" : "");
}

function set(band, kind, text) {
  if (band.className !== kind) band.className = kind;
  if (band.firstElementChild.textContent !== text) band.firstElementChild.textContent = text;
}
