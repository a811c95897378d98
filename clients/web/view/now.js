import { emotionClass } from "../talk/labels.js";
import { clock, percent } from "../talk/format.js";
import { energy, statusWords, verdict } from "../talk/words.js";
import { drawDistribution } from "./distribution.js";
import { byId, element } from "./dom.js";

/** One utterance: the verdict, why there is none, the distribution, guidance where the server gives some. */
export function showUtterance(utterance) {
  const { affect } = utterance;
  byId("now-which").textContent = `Utterance ${utterance.number} at ${clock(utterance.start)}`;
  byId("verdict-text").textContent = verdict(utterance);
  const shown = utterance.isSure || utterance.provisional;
  byId("verdict-swatch").className = `swatch ${shown ? emotionClass(utterance.label) : "unsure"}`;
  byId("verdict-detail").textContent = detail(utterance);
  const rows = utterance.emotions.map(({ label, probability }) => ({ label, share: probability }));
  drawDistribution(byId("distribution"), rows, { faint: !utterance.isSure, top: utterance.label });
  showGuidance(affect.guidance);
}

function detail(utterance) {
  if (utterance.provisional) return "Somebody is speaking: this may still change.";
  const { statusDetail = "", quality = {} } = utterance.affect;
  const parts = [];
  if (utterance.isSure) {
    parts.push(`Probability ${percent(utterance.probability)}`);
    if (utterance.dimensions.arousal !== undefined) parts.push(energy(utterance.dimensions.arousal));
  } else {
    parts.push(statusDetail || statusWords(utterance.status));
  }
  if (quality.clipped) parts.push("the audio is clipped");
  const told = parts.map((part) => part.replace(/\.$/, "")).join("; ");
  return `${told[0].toUpperCase()}${told.slice(1)}.`;
}

function showGuidance(guidance) {
  byId("guidance").hidden = !guidance?.text;
  byId("guidance-text").textContent = guidance?.text ?? "";
  byId("guidance-tags").replaceChildren(...(guidance?.styleTags ?? []).map((tag) => element("li", {}, tag)));
}

/** As before the first utterance. */
export function clearUtterance() {
  byId("now-which").textContent = "";
  byId("verdict-text").textContent = "Nothing yet";
  byId("verdict-swatch").className = "swatch";
  byId("verdict-detail").textContent = "The first utterance shows its emotions here.";
  byId("distribution").replaceChildren();
  showGuidance(null);
}
