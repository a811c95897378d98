import { seconds } from "./format.js";

const WITH_VALUES = new Set(["OK", "LOW_SNR", "ABSTAINED"]);

/** One utterance as far as it is known. Times in seconds of this page's audio. */
export class Utterance {
  /** @param {string} id @param {number} number from 1 @param {number} start */
  constructor(id, number, start) {
    this.id = id;
    this.number = number;
    this.start = start;
    /** @type {number | null} null: it goes on */
    this.end = null;
    /** "OPEN", "ENDED" (its final is awaited), "LOST", or the status of its final. */
    this.status = "OPEN";
    this.provisional = false;
    /** @type {object | null} the newest AffectEvent */
    this.affect = null;
    /** @type {number | null} position whose audio made its end decidable */
    this.decidable = null;
    /** The log has told it. */
    this.told = false;
    /** @type {number | null} ms from the audio that decided its end to its final event here */
    this.shownAfterMs = null;
  }

  get isFinal() {
    return this.affect !== null && !this.provisional;
  }

  /** Whether it may be acted on. */
  get isSure() {
    return this.status === "OK";
  }

  get hasValues() {
    return this.affect !== null && (this.provisional || WITH_VALUES.has(this.status)) && this.label !== "";
  }

  get label() {
    return this.affect?.topLabel ?? "";
  }

  /** @returns {{label: string, probability: number}[]} in the model's order */
  get emotions() {
    return (this.affect?.emotions ?? []).map(({ label, probability = 0 }) => ({ label, probability }));
  }

  get probability() {
    return this.emotions.find(({ label }) => label === this.label)?.probability ?? 0;
  }

  /** @returns {{valence?: number, arousal?: number, dominance?: number}} */
  get dimensions() {
    return this.affect?.dimensions ?? {};
  }

  /** @param {object} affect AffectEvent @param {number} origin seconds */
  take(affect, origin) {
    const provisional = affect.stage !== "STAGE_FINAL";
    if (this.isFinal && provisional) return;
    this.affect = affect;
    this.provisional = provisional;
    this.start = origin + seconds(affect.audioStart);
    if (provisional) return;
    this.end = origin + seconds(affect.audioEnd);
    this.status = affect.status.replace("AFFECT_STATUS_", "");
  }
}
