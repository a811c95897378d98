import { byId } from "./view/dom.js";

const FORBIDS_START = ["use-microphone", "choose-file", "use-sample"];
const DEMONSTRATORS = new Set(["affect-embedded"]);

/** The buttons and options: what was chosen, and what can be chosen now. */
export class Controls {
  /**
   * @param {{onMicrophone: () => void, onFile: (file: File) => void, onSample: () => void, onStop: () => void,
   *   onToken: (token: string) => void}} told
   */
  constructor({ onMicrophone, onFile, onSample, onStop, onToken }) {
    this._begun = null;
    byId("start-form").addEventListener("submit", (event) => event.preventDefault());
    byId("use-microphone").addEventListener("click", onMicrophone);
    byId("use-sample").addEventListener("click", onSample);
    byId("choose-file").addEventListener("click", () => byId("file").click());
    byId("file").addEventListener("change", () => {
      const [file] = byId("file").files;
      byId("file").value = "";
      if (file) onFile(file);
    });
    byId("stop").addEventListener("click", onStop);
    byId("token").addEventListener("change", () => onToken(this.token));
  }

  /** Never stored, never in an address. */
  get token() {
    return byId("token").value.trim();
  }

  get speed() {
    return Number(byId("speed").value);
  }

  get sound() {
    return byId("sound").checked;
  }

  get model() {
    return byId("model").value;
  }

  /** Whether those who are heard agree, or need not be asked. */
  get agreed() {
    return byId("consent-field").hidden || byId("consent").checked;
  }

  askConsent() {
    byId("consent").focus();
  }

  askToken() {
    for (const id of ["token-field", "token-help"]) byId(id).hidden = false;
    byId("token").focus();
  }

  /** @param {object} info GetServerInfo */
  show(info) {
    const models = info.models ?? [];
    byId("consent-field").hidden = !info.consentRequired;
    byId("model-field").hidden = models.length < 2;
    const chosen = this.model;
    byId("model").replaceChildren(...models.map(({ name }) => new Option(name, name, false, name === chosen)));
    byId("transparency").textContent = info.transparencyNotice ?? "";
    byId("transparency").hidden = !info.transparencyNotice;
    byId("version").textContent = info.version ? `Server ${info.version}.` : "";
    this.showModel(models.find(({ name }) => name === chosen) ?? models[0]);
  }

  /** @param {{name: string, version?: string} | undefined} model */
  showModel(model) {
    byId("model-name").textContent = model ? `${model.name} ${model.version ?? ""}`.trim() : "";
    byId("demonstrator").hidden = !model || !DEMONSTRATORS.has(model.name);
  }

  /** @param {boolean} running @param {string} [name] of what is heard */
  running(running, name = "") {
    if (running) this._begun = document.activeElement?.id ?? null;
    const stopFocused = document.activeElement === byId("stop");
    for (const id of FORBIDS_START) byId(id).hidden = running;
    byId("stop").hidden = !running;
    byId("stop").textContent = "Stop";
    byId("now-playing").hidden = !running;
    byId("options").inert = running;
    byId("now-playing-text").dataset.name = name;
    this.progress(0, 0);
    if (running) byId("stop").focus();
    else if (stopFocused) byId(FORBIDS_START.includes(this._begun ?? "") ? this._begun : FORBIDS_START[0]).focus();
  }

  stopping() {
    byId("stop").textContent = "Stop without the last results";
  }

  /** @param {number} level 0..1 @param {number} seconds */
  progress(level, seconds) {
    const text = byId("now-playing-text");
    const shown = `${text.dataset.name ?? ""} · ${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, "0")}`;
    if (text.textContent !== shown) text.textContent = shown;
    byId("level").firstElementChild.style.inlineSize = `${Math.round(Math.sqrt(level) * 100)}%`;
  }
}
