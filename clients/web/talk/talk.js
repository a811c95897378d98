import { seconds } from "./format.js";
import { Utterance } from "./utterance.js";

const MOST_UTTERANCES = 500;

/** What was heard of one talk, from the server's events. Times in seconds of this page's audio. */
export class Talk {
  constructor() {
    /** @type {Utterance[]} the newest ones, in order */
    this.utterances = [];
    /** @type {{start: number, end: number}[]} audio that no server has heard */
    this.lost = [];
    /** @type {object | null} Model */
    this.model = null;
    /** @type {object | null} SessionSummary, of the last session */
    this.summary = null;
    this.sessionId = "";
    this.sessions = 0;
    this._count = 0;
  }

  /** The newest of which something is known. */
  get newest() {
    return this.utterances.findLast((utterance) => utterance.affect) ?? null;
  }

  /** The dimensions that the model gives, of valence, arousal and dominance. */
  get dimensions() {
    return this.model?.dimensions ?? [];
  }

  /** @param {string} id */
  find(id) {
    return this.utterances.find((utterance) => utterance.id === id) ?? null;
  }

  /**
   * @param {object} event SessionEvent
   * @param {number} origin seconds at which its session began
   * @returns {Utterance | null} the one that it changed
   */
  take(event, origin) {
    if (event.sessionStarted) {
      this.model = event.sessionStarted.model ?? null;
      this.sessions += event.sessionId === this.sessionId ? 0 : 1;
      this.sessionId = event.sessionId;
    } else if (event.speechStarted) {
      return this._begun(event.speechStarted.utteranceId, origin + seconds(event.speechStarted.audioStart));
    } else if (event.speechEnded) {
      return this._ended(event.speechEnded, origin);
    } else if (event.affect) {
      const found = this._begun(event.affect.utteranceId, origin + seconds(event.affect.audioStart));
      found.take(event.affect, origin);
      return found;
    } else if (event.sessionSummary) {
      this.summary = event.sessionSummary;
    }
    return null;
  }

  /** Another session hears again what follows: unfinished utterances from there on come under new ids. */
  beginAnew(origin) {
    for (const utterance of this.utterances) {
      if (utterance.isFinal) continue;
      utterance.status = "LOST";
      utterance.affect = null;
    }
    const again = this.utterances.filter((utterance) => utterance.status === "LOST" && (utterance.end ?? origin) >= origin);
    this.utterances = this.utterances.filter((utterance) => !again.includes(utterance));
    this._count -= again.length;
    return again;
  }

  /** @param {number} start @param {number} end */
  lose(start, end) {
    this.lost.push({ start, end });
    if (this.lost.length > MOST_UTTERANCES) this.lost.shift();
  }

  /** Seconds of audio that were lost. */
  get lostS() {
    return this.lost.reduce((sum, { start, end }) => sum + end - start, 0);
  }

  _begun(id, start) {
    const known = this.find(id);
    if (known) return known;
    const found = new Utterance(id, ++this._count, start);
    this.utterances.push(found);
    if (this.utterances.length > MOST_UTTERANCES) this.utterances.shift();
    return found;
  }

  _ended(ended, origin) {
    const found = this._begun(ended.utteranceId, origin + seconds(ended.audioStart));
    found.start = origin + seconds(ended.audioStart);
    found.end = origin + seconds(ended.audioEnd);
    found.decidable = origin + seconds(ended.decidableAt);
    if (found.status === "OPEN") found.status = "ENDED";
    return found;
  }
}
