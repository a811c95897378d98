import { clock, level, percent } from "./format.js";

const SURE = 0.6;
const LIVELY = 0.67;
const QUIET = 0.33;

const STATUS = {
  OPEN: "Listening",
  ENDED: "Awaiting its score",
  LOST: "Lost with its session",
  OK: "",
  ABSTAINED: "Not sure enough to say",
  INSUFFICIENT_SPEECH: "Too little speech",
  LOW_SNR: "Too noisy to trust",
  OVERLOADED: "Not scored, the server was busy",
  DEADLINE_EXCEEDED: "Not scored in time",
  CONSENT_WITHHELD: "Withheld, no consent",
  MODEL_ERROR: "The model failed",
};

/** @param {string} status */
export function statusWords(status) {
  return STATUS[status] ?? status.toLowerCase().replaceAll("_", " ");
}

/** @param {number} arousal 0..1 */
export function energy(arousal) {
  if (arousal >= LIVELY) return "much energy";
  return arousal <= QUIET ? "little energy" : "medium energy";
}

/** @param {import("./utterance.js").Utterance} utterance @returns {string} the verdict in a few words */
export function verdict(utterance) {
  if (utterance.provisional) return utterance.label ? `So far: ${utterance.label}` : "So far nothing to say";
  if (!utterance.isSure) return statusWords(utterance.status);
  return `${utterance.probability >= SURE ? "Sounds" : "May sound"} ${utterance.label}`;
}

/** What the model gave, in words; with a leaning where it may not be relied on. */
export function values(utterance) {
  if (!utterance.hasValues) return "";
  const parts = [utterance.isSure ? percent(utterance.probability) : `leaning ${utterance.label} ${percent(utterance.probability)}`];
  for (const name of ["valence", "arousal", "dominance"]) {
    const value = utterance.dimensions[name];
    if (value !== undefined) parts.push(`${name} ${level(value)}`);
  }
  return parts.join(", ");
}

/** @param {import("./utterance.js").Utterance} utterance */
export function span(utterance) {
  return `${clock(utterance.start)} to ${clock(utterance.end ?? utterance.start)}`;
}
