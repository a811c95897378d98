import { SourceFault } from "./source-fault.js";

const RATE_HZ = 16_000;
const MOST_BYTES = 100 * 1024 * 1024;
const STEP_MS = 32;
const LATE_S = 2;

/** A recording, played at the pace of speech or faster. It waits where the line does, and while the tab sleeps. */
export class Recording {
  /**
   * @param {Blob} file
   * @param {{name: string, speed: number, sound: boolean, room: () => number,
   *   onAudio: (samples: Int16Array) => void, onEnd: () => void}} options
   *   `room` says how many samples may be given now; sound is heard at speed 1 only
   */
  constructor(file, { name, speed, sound, room, onAudio, onEnd }) {
    this.live = false;
    this.rate = RATE_HZ;
    this.name = name;
    this.state = "running";
    this._file = file;
    this._speed = speed;
    this._sound = sound && speed === 1;
    this._room = room;
    this._onAudio = onAudio;
    this._onEnd = onEnd;
    this._given = 0;
  }

  /** Seconds of it. */
  get duration() {
    return this._samples.length / RATE_HZ;
  }

  /** Decode it. Raises `SourceFault`. */
  async open() {
    if (this._file.size > MOST_BYTES) {
      const mib = Math.ceil(this._file.size / 1024 / 1024);
      throw new SourceFault("file-large", `${this.name} has ${mib} MiB; at most ${MOST_BYTES / 1024 / 1024} MiB can be opened here.`);
    }
    let audio;
    try {
      // An offline context resamples to its own rate.
      audio = await new OfflineAudioContext(1, 1, RATE_HZ).decodeAudioData(await this._file.arrayBuffer());
    } catch {
      throw new SourceFault("file", this.name);
    }
    if (!audio.length) throw new SourceFault("file", this.name);
    this._buffer = audio;
    this._samples = mixed(audio);
  }

  /** Begin to give it. */
  start() {
    if (this._sound) this._listen();
    this._from = performance.now();
    this._timer = setInterval(() => this._give(), STEP_MS);
  }

  /** It goes on by itself. */
  async wake() {
    await this._context?.resume().catch(() => {});
  }

  /** Stop where it is. */
  async close() {
    clearInterval(this._timer);
    const context = this._context;
    this._context = null;
    await context?.close().catch(() => {});
  }

  _listen() {
    this._context = new AudioContext();
    const playing = this._context.createBufferSource();
    playing.buffer = this._buffer;
    playing.connect(this._context.destination);
    playing.start();
  }

  _give() {
    const due = this._due();
    const late = due - this._given - LATE_S * RATE_HZ * this._speed;
    if (late > 0) this._hold(late);
    let until = Math.min(due - Math.max(0, late), this._samples.length);
    const room = this._room();
    if (until - this._given > room) {
      this._hold(until - this._given - room);
      until = this._given + room;
    } else if (this._context?.state === "suspended") {
      this.wake();
    }
    if (until > this._given) {
      this._onAudio(this._samples.subarray(this._given, until));
      this._given = until;
    }
    if (this._given >= this._samples.length) {
      this.close();
      this._onEnd();
    }
  }

  _due() {
    const seconds = this._sound && this._context ? this._context.currentTime : ((performance.now() - this._from) / 1000) * this._speed;
    return Math.floor(seconds * RATE_HZ);
  }

  /** Let so many samples be due later: the clock goes back, or the sound stops until there is room. */
  _hold(samples) {
    if (this._sound && this._context) this._context.suspend();
    else this._from += (samples / RATE_HZ / this._speed) * 1000;
  }
}

/** @param {AudioBuffer} audio @returns {Int16Array} the mean of its channels */
function mixed(audio) {
  const mix = new Int16Array(audio.length);
  const channels = Array.from({ length: audio.numberOfChannels }, (_, index) => audio.getChannelData(index));
  for (let i = 0; i < mix.length; i++) {
    let sum = 0;
    for (const channel of channels) sum += channel[i];
    mix[i] = Math.round(Math.max(-1, Math.min(1, sum / channels.length)) * 32767);
  }
  return mix;
}
