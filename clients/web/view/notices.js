import { element } from "./dom.js";

const MOST = 4;

/** Messages that stay until they are no longer true, or are dismissed. A screen reader is told them. */
export class Notices {
  /** @param {HTMLElement} place */
  constructor(place) {
    this._place = place;
    /** @type {Map<string, HTMLElement>} */
    this._shown = new Map();
  }

  /**
   * @param {string} key one message each
   * @param {{title: string, help?: string, detail?: string, tone?: "trouble" | "note", action?: string, act?: () => void, dismiss?: boolean}} said
   */
  show(key, { title, help = "", detail = "", tone = "trouble", action = "", act, dismiss = false }) {
    const text = element("div", { class: "notice-text" }, element("strong", {}, title));
    if (help) text.append(element("span", {}, help));
    if (detail) text.append(element("span", { class: "notice-detail" }, detail));
    const made = element("div", { class: "notice", "data-tone": tone, "data-key": key }, text);
    if (action) made.append(button(action, "", act));
    if (dismiss) made.append(button("Dismiss", "quiet", () => this.clear(key)));
    const before = this._shown.get(key);
    if (before && before.textContent === made.textContent) return;
    if (before) before.replaceWith(made);
    else this._place.append(made);
    this._shown.set(key, made);
    if (this._shown.size > MOST) this.clear(this._shown.keys().next().value);
  }

  /** @param {string} key */
  clear(key) {
    this._shown.get(key)?.remove();
    this._shown.delete(key);
  }

  clearAll() {
    for (const key of [...this._shown.keys()]) this.clear(key);
  }
}

function button(text, kind, act) {
  const made = element("button", { type: "button", class: kind }, text);
  made.addEventListener("click", act);
  return made;
}
