import { Given } from "./audio/given.js";
import { Session } from "./stream/session.js";
import { clock } from "./talk/format.js";
import { Talk } from "./talk/talk.js";
import { endingAdvice, SOURCE_ADVICE } from "./view/advice.js";

// Browsers hold a page up for longer than servers wait by themselves; of a recording a pause says nothing at all.
const STALL_MS = { live: 2_000, recorded: 10_000 };

/**
 * One talk from its first sound to its summary: a source of audio, a session, and what was heard.
 *
 * @typedef {object} Views
 * @property {import("./view/notices.js").Notices} notices
 * @property {(samples: Int16Array, rate: number) => void} audio
 * @property {(utterance: import("./talk/utterance.js").Utterance) => void} utterance one has changed
 * @property {(text: string) => void} say for the log
 * @property {(state: import("./stream/session.js").State) => void} state
 * @property {() => void} over
 */
export class Conversation {
  /**
   * @param {{token: string, config: object, views: Views}} options
   *   config: SessionConfig without `audio`
   */
  constructor({ token, config, views }) {
    this.talk = new Talk();
    this.sourceName = "";
    this._token = token;
    this._config = config;
    this._views = views;
    this._given = new Given();
    this._source = null;
    this._session = null;
    this._stopping = false;
    this._lineLost = false;
  }

  /** What a source hands over goes here. */
  get told() {
    return {
      onAudio: (samples) => this._audio(samples),
      onState: (state, seconds) => this._sourceState(state, seconds),
      onEnd: () => this.stop(),
      room: () => (this._session?.state.name === "live" ? this._session.room : 0),
    };
  }

  /** Seconds of audio so far. */
  get givenS() {
    return this._session?.givenS ?? 0;
  }

  /** Begin with an open source. False: it was stopped before it was open. */
  start(source) {
    if (this._stopping) {
      source.close();
      return false;
    }
    this._source = source;
    this._session = new Session({
      token: this._token,
      config: {
        ...this._config,
        audio: { encoding: "AUDIO_ENCODING_LINEAR16", sampleRateHz: source.rate, channelCount: 1 },
        endpointing: { stallMs: source.live ? STALL_MS.live : STALL_MS.recorded },
      },
      rate: source.rate,
      onEvent: (event, origin) => this._event(event, origin),
      onState: (state) => this._sessionState(state),
      onLost: (start, end) => this._lost(start, end),
      onNewSession: (origin) => this._newSession(origin),
    });
    this._session.open();
    if (source.state && source.state !== "running") this._sourceState(source.state);
    source.start?.();
    return true;
  }

  /** End the audio and wait for the last results; a second time: do not wait. */
  async stop() {
    if (this._stopping) return this._session?.stop();
    this._stopping = true;
    await this._source?.close();
    this._views.notices.clear("source");
    this._session?.end();
  }

  _audio(samples) {
    if (!this._session) return;
    this._session.give(samples);
    this._given.note(this._session.givenS);
    this._views.audio(samples, this._session.rate);
  }

  _event(event, origin) {
    const changed = this.talk.take(event, origin);
    if (event.sessionClosing) this._closing(event.sessionClosing);
    if (event.warning) this._warning(event.warning);
    if (!changed) return;
    if (event.affect?.stage === "STAGE_FINAL") changed.shownAfterMs = this._given.since(changed.decidable ?? changed.end);
    this._views.utterance(changed);
  }

  _sessionState(state) {
    const { notices } = this._views;
    const { name, ending } = state;
    if (name === "live" || name === "ending") {
      notices.clear("line");
      if (this._lineLost) this._views.say("The connection is back; the talk goes on.");
      this._lineLost = false;
    } else if (name === "waiting" && ending) {
      const act = () => this._session?.tryNow();
      notices.show("line", { ...endingAdvice(ending), action: "Try now", act });
      if (!this._lineLost) this._views.say(`${endingAdvice(ending).title}.`);
      this._lineLost = true;
    } else if (name === "failed" && ending) {
      notices.show("line", { ...endingAdvice(ending), detail: ending.message, dismiss: true });
    }
    this._views.state(state);
    if (name === "ended" || name === "failed") this._over();
  }

  async _over() {
    this._stopping = true;
    await this._source?.close();
    this._views.notices.clear("source");
    this._views.notices.clear("closing");
    if (this._session?.state.name === "ended") this._views.notices.clear("line");
    this._views.over();
  }

  _sourceState(state, seconds = 0) {
    const { notices, say } = this._views;
    if (this._stopping) return;
    if (state === "running") {
      notices.clear("source");
    } else if (state === "asleep") {
      const title = `${clock(seconds)} were not heard`;
      notices.show("asleep", { title, help: "The tab slept or the microphone was away. It goes on.", tone: "note", dismiss: true });
      say(`${title}: the tab slept or the microphone was away.`);
    } else {
      notices.show("source", { ...SOURCE_ADVICE[state], action: "Go on", act: () => this._source?.wake() });
      say(`${SOURCE_ADVICE[state].title}.`);
    }
  }

  _lost(start, end) {
    this.talk.lose(start, end);
    const title = `${(end - start).toFixed(1)} s of audio were lost`;
    const help = `From ${clock(start)} to ${clock(end)}: the connection was away for longer than the 10 seconds that are kept.`;
    this._views.notices.show("lost", { title, help, tone: "note", dismiss: true });
    this._views.say(`${title}, from ${clock(start)} to ${clock(end)}.`);
  }

  _newSession(origin) {
    this.talk.beginAnew(origin);
    this._views.say(`The server began a new session; it goes on at ${clock(origin)}.`);
  }

  _closing({ reason = "", grace = "" }) {
    if (reason === "CLOSE_REASON_STREAM_AGE") return;
    const help = `It ends in ${Number.parseFloat(grace || "0").toFixed(0)} s; a new session goes on when it is back.`;
    this._views.notices.show("closing", { title: "The server is about to stop", help, tone: "note", dismiss: true });
  }

  _warning({ code = "", message = "" }) {
    this._views.notices.show(`warning-${code}`, { title: message || code, tone: "note", dismiss: true });
  }
}
