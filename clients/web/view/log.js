import { emotionClass } from "../talk/labels.js";
import { counted } from "../talk/format.js";
import { span, values, verdict } from "../talk/words.js";
import { byId, element } from "./dom.js";

const MOST = 200;

/** Every utterance in words, newest first. A screen reader is told each once; each can be picked. */
export class Log {
  /** @param {(id: string) => void} onPick */
  constructor(onPick) {
    this._place = byId("log");
    this._onPick = onPick;
    this._count = 0;
  }

  /** @param {import("../talk/utterance.js").Utterance} utterance whose final has come */
  add(utterance) {
    byId("log-empty").hidden = true;
    const made = element(
      "button",
      { type: "button", class: "entry", "data-id": utterance.id, "data-status": utterance.status, "aria-pressed": "false" },
      element("span", { class: "number" }, element("span", { class: "unseen" }, "Utterance "), String(utterance.number)),
      element("span", { class: "when" }, span(utterance)),
      element("span", { class: `swatch ${utterance.isSure ? emotionClass(utterance.label) : "unsure"}`, "aria-hidden": "true" }),
      element("span", { class: "what" }, verdict(utterance)),
      element("span", { class: "how" }, values(utterance)),
    );
    const why = utterance.isSure ? "" : (utterance.affect.statusDetail ?? "");
    if (why) made.append(element("span", { class: "unseen" }, why));
    made.addEventListener("click", () => this._onPick(utterance.id));
    this._place.prepend(made);
    this._counted(1);
  }

  /** Something else that was heard, or not heard. @param {string} text */
  say(text) {
    byId("log-empty").hidden = true;
    this._place.prepend(element("p", { class: "entry said" }, text));
    this._counted(0);
  }

  /** @param {string} id empty: none */
  mark(id) {
    for (const entry of this._place.querySelectorAll("button")) {
      entry.setAttribute("aria-pressed", String(entry.dataset.id === id));
    }
  }

  clear() {
    for (const entry of this._place.querySelectorAll(".entry")) entry.remove();
    byId("log-empty").hidden = false;
    this._count = 0;
    byId("log-count").textContent = "";
  }

  _counted(more) {
    this._count += more;
    byId("log-count").textContent = counted(this._count, "utterance");
    const entries = this._place.querySelectorAll(".entry");
    if (entries.length > MOST) entries[entries.length - 1].remove();
  }
}
