import { SourceFault } from "./source-fault.js";

const KINDS = {
  NotAllowedError: "denied",
  SecurityError: "denied",
  NotFoundError: "none",
  OverconstrainedError: "none",
  NotReadableError: "busy",
  AbortError: "busy",
};
const QUIET_S = 1.5;
const CATCH_UP_S = 1;
const PREFERRED_HZ = 16_000;
// As the room sounds: what browsers do to a voice for a call changes how it sounds to a model, too.
const AS_IT_IS = { echoCancellation: false, noiseSuppression: false, autoGainControl: false, channelCount: 1 };

/**
 * The microphone as 16-bit samples, and what becomes of it.
 *
 * `onState` is told "running"; "suspended" (the browser stopped the audio), "lost" (the device or the permission was
 * taken away), "muted" (the system sends silence), "quiet" (nothing comes), and "asleep" with the seconds that were
 * not heard, once audio comes again.
 */
export class Microphone {
  /** @param {{onAudio: (samples: Int16Array) => void, onState: (state: string, seconds?: number) => void}} told */
  constructor({ onAudio, onState }) {
    this.live = true;
    this.rate = 0;
    this.state = "";
    this._onAudio = onAudio;
    this._onState = onState;
    this._reopening = false;
    this._samples = 0;
    this._since = this._last = this._missing = 0;
    this._again = () => this.wake();
  }

  /** Ask for it. Raises `SourceFault`. */
  async open() {
    if (!navigator.mediaDevices?.getUserMedia) throw new SourceFault("insecure");
    await this._connect();
    navigator.mediaDevices.addEventListener("devicechange", this._again);
    document.addEventListener("visibilitychange", this._again);
    document.addEventListener("resume", this._again);
    this._timer = setInterval(() => this._look(), 500);
  }

  /** Go on after a break, if the browser lets us: call it from a click to be sure. */
  async wake() {
    if (this._closed || document.visibilityState !== "visible") return;
    if (this.state === "lost") await this._reopen();
    else if (this._context?.state !== "running") await this._context?.resume().catch(() => {});
  }

  /** Hand over what was heard, and let the microphone go. */
  async close() {
    this._closed = true;
    clearInterval(this._timer);
    navigator.mediaDevices?.removeEventListener("devicechange", this._again);
    document.removeEventListener("visibilitychange", this._again);
    document.removeEventListener("resume", this._again);
    if (this._node && this._context?.state === "running") {
      await new Promise((done) => {
        this._flushed = done;
        this._node.port.postMessage("end");
        setTimeout(done, 200);
      });
    }
    this._release();
  }

  async _connect() {
    let stream;
    try {
      stream = await navigator.mediaDevices.getUserMedia({ audio: AS_IT_IS });
    } catch (error) {
      throw new SourceFault(KINDS[error.name] ?? "busy", error.message);
    }
    try {
      await this._listen(stream);
    } catch (error) {
      for (const track of stream.getTracks()) track.stop();
      throw new SourceFault("busy", error.message);
    }
  }

  async _listen(stream) {
    const [context, source] = joined(stream, this.rate || PREFERRED_HZ);
    await context.audioWorklet.addModule(new URL("capture.js", import.meta.url));
    const node = new AudioWorkletNode(context, "capture", { numberOfOutputs: 0, channelCount: 1, channelCountMode: "explicit" });
    node.port.onmessage = ({ data }) => (data ? this._heard(data) : this._flushed?.());
    source.connect(node);
    this._stream = stream;
    this._context = context;
    this._node = node;
    this.rate = context.sampleRate;
    context.onstatechange = () => this._look();
    const [track] = stream.getAudioTracks();
    track.onended = () => this._set("lost");
    track.onmute = track.onunmute = () => this._look();
    this._samples = 0;
    this._since = this._last = performance.now();
    this._missing = 0;
    if (context.state !== "running") await Promise.race([context.resume(), pause(500)]);
    this._look();
  }

  async _reopen() {
    if (this._reopening) return;
    this._reopening = true;
    const before = this._last;
    this._release();
    try {
      await this._connect();
      if (this._closed) this._release();
      else this._onState("asleep", (performance.now() - before) / 1000);
    } catch {
      this._set("lost");
    } finally {
      this._reopening = false;
    }
  }

  _heard(samples) {
    const now = performance.now();
    const slept = (now - this._last) / 1000 > QUIET_S;
    this._last = now;
    this._samples += samples.length;
    this._onAudio(samples);
    // What waited to be handed over comes at once: only what is missing then was not heard.
    if (slept) setTimeout(() => this._tellMissing(), CATCH_UP_S * 1000);
    if (this.state !== "running") this._look();
  }

  _tellMissing() {
    const missing = (this._last - this._since) / 1000 - this._samples / this.rate;
    if (missing - this._missing > QUIET_S / 2) this._onState("asleep", missing - this._missing);
    this._missing = missing;
  }

  _look() {
    if (this._closed || !this._context) return;
    const [track] = this._stream.getAudioTracks();
    const quiet = (performance.now() - this._last) / 1000 > QUIET_S;
    if (track.readyState === "ended") this._set("lost");
    else if (this._context.state !== "running") this._set("suspended");
    else if (track.muted) this._set("muted");
    else this._set(quiet ? "quiet" : "running");
  }

  _set(state) {
    if (state === this.state || this._closed) return;
    this.state = state;
    this._onState(state);
  }

  _release() {
    for (const track of this._stream?.getTracks() ?? []) {
      track.onended = null;
      track.stop();
    }
    if (this._context) {
      this._context.onstatechange = null;
      this._context.close().catch(() => {});
    }
    this._context = this._node = null;
  }
}

/**
 * A context at `rate`, or at the device's own where the browser does not resample microphones.
 *
 * @param {MediaStream} stream @param {number} rate
 * @returns {[AudioContext, MediaStreamAudioSourceNode]}
 */
function joined(stream, rate) {
  let context = new AudioContext({ sampleRate: rate, latencyHint: "interactive" });
  try {
    return [context, context.createMediaStreamSource(stream)];
  } catch {
    context.close();
    context = new AudioContext({ latencyHint: "interactive" });
    if (context.sampleRate > 48_000) throw new Error(`the device has ${context.sampleRate} Hz, at most 48000 can be sent`);
    return [context, context.createMediaStreamSource(stream)];
  }
}

const pause = (ms) => new Promise((done) => setTimeout(done, ms));
