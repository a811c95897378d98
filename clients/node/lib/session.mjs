// A session over as many calls as it takes: a line that is lost costs neither audio nor events.
import {setTimeout as sleep} from 'node:timers/promises';

import {AffectError} from './errors.mjs';
import {Ring} from './ring.mjs';

const BYTES = {
  AUDIO_ENCODING_LINEAR16: 2,
  AUDIO_ENCODING_FLOAT32: 4,
  AUDIO_ENCODING_MULAW: 1,
  AUDIO_ENCODING_ALAW: 1,
};
const MESSAGE_BYTES = 32 * 1024; // the server takes 64 KiB, and 1 s

// Nothing is won by trying again: the session is gone, or another stream has it.
const OVER = new Set(['SESSION_NOT_FOUND', 'DRAINING', 'SESSION_AGE', 'SUPERSEDED', 'RESUME_SUPERSEDED']);
const BY_TRANSPORT = new Set(['UNAVAILABLE', 'DEADLINE_EXCEEDED', 'CANCELLED', 'INTERNAL', 'UNKNOWN']);

/**
 * Read `events` and `send` at the same time; `end` when all was sent.
 *
 * With `reconnect` audio is held until the server says that it has it (`progress`), and `send` waits where
 * `ringS` of it are held, so that none is lost.
 */
export class Session {
  #client;
  #config;
  #policy;
  #ring;
  #rest = Buffer.alloc(0); // of a sample that came in two pieces
  #rate;
  #pieceSamples;
  #started; // of the newest call
  #received = 0; // the server has the audio before this position
  #sequence = 0; // every event up to it came
  #ahead = new Set(); // of each `sessionStarted` that is newer than what was missed
  #cookies = ''; // of the newest call that began or went on with the session
  #ending = false;
  #closed = false;
  #over = null; // the error for whoever still sends
  #waiting = [];

  /**
   * @param {import('./client.mjs').AffectClient} client
   * @param {object} config SessionConfig as proto3 JSON
   * @param {object} [policy]
   * @param {boolean} [policy.reconnect] go on with the session when its call is lost
   * @param {number} [policy.ringS] audio that is held at most, in seconds
   * @param {number} [policy.giveUpAfterS] since a call led further
   * @param {(error: AffectError, delayMs: number) => void} [policy.onLost] told before each attempt
   */
  constructor(client, config, {reconnect = true, ringS = 10, giveUpAfterS = 30, onLost = () => {}} = {}) {
    const {encoding, sampleRateHz, channelCount = 1} = config.audio;
    const frameBytes = (BYTES[encoding] ?? 0) * channelCount;
    if (!frameBytes) throw new TypeError(`audio.encoding: got ${encoding}, expected ${Object.keys(BYTES).join(', ')}`);
    this.#client = client;
    this.#policy = {reconnect, ringS, giveUpAfterS, onLost};
    this.#rate = sampleRateHz;
    this.#ring = new Ring(frameBytes);
    this.#pieceSamples = Math.max(1, Math.min(Math.floor(MESSAGE_BYTES / frameBytes), sampleRateHz));
    this.#config = {...config, resumable: reconnect};
    this.#config.outputs = {progressIntervalMs: 1_000, ...config.outputs};
  }

  /** Give some audio, cut anywhere; resolves at once while the server keeps up. Rejects where the session is over. */
  async send(data) {
    const {frameBytes} = this.#ring;
    const all = this.#rest.length ? Buffer.concat([this.#rest, data]) : data;
    const whole = all.length - (all.length % frameBytes);
    this.#rest = all.subarray(whole);
    for (let at = 0, size = this.#pieceSamples * frameBytes; at < whole; at += size) {
      this.#ring.add(all.subarray(at, Math.min(at + size, whole)));
      this.#notify();
      while (!this.#over && this.#ring.length > this.#policy.ringS * this.#rate) await this.#changed();
      if (this.#over) throw this.#over;
    }
  }

  /** All audio was given: the open utterance ends, the last finals come, `events` stops. */
  end() {
    this.#ending = true;
    this.#notify();
  }

  /** Every event of the session once. Throws `AffectError` where it does not end well. */
  async *events() {
    let attempts = 0;
    let since;
    try {
      for (;;) {
        const {error, ledFurther} = yield* this.#oneCall();
        if (this.#closed) return;
        if (ledFurther) [attempts, since] = [0, undefined];
        since ??= Date.now();
        const delayMs = this.#delayMs(error, attempts++);
        if (delayMs === null || Date.now() + delayMs > since + this.#policy.giveUpAfterS * 1_000) throw error;
        this.#policy.onLost(error, delayMs);
        await sleep(delayMs);
      }
    } catch (error) {
      this.#over = error;
      throw error;
    } finally {
      this.#over ??= new AffectError('CANCELLED', 'the session is over: its events are not read any more');
      this.#notify();
    }
  }

  async *#oneCall() {
    let ledFurther = false;
    const call = this.#client.call(this.#request(), this.#cookies);
    const writing = this.#write(call);
    try {
      for await (const event of call.events()) {
        if (event.sessionStarted) this.#cookies = call.cookies;
        if (!this.#take(event)) continue;
        ledFurther ||= !event.sessionStarted;
        yield event;
      }
      return {error: new AffectError('UNAVAILABLE', 'the call ended before the session'), ledFurther};
    } catch (error) {
      if (!(error instanceof AffectError)) throw error;
      return {error, ledFurther};
    } finally {
      call.cancel();
      this.#notify();
      await writing;
    }
  }

  #request() {
    if (!this.#started) return this.#config;
    const {sessionId, resumeToken} = this.#started;
    const resume = {sessionId, resumeToken, audioOffsetSamples: this.#received, lastSequence: this.#sequence};
    return {...this.#config, resume};
  }

  async #write(call) {
    const started = await call.started;
    if (!started) return;
    const offset = this.#received;
    let position = Math.max(offset, Number(started.acceptedUntilSamples ?? 0));
    let startSamples = position > offset ? position : undefined;
    while (!call.isOver) {
      const piece = this.#ring.from(position);
      if (piece) {
        await call.write({audio: {data: piece.data, startSamples}});
        position = piece.end;
        startSamples = undefined;
      } else if (this.#ending) {
        return call.end();
      } else {
        await this.#changed();
      }
    }
  }

  // False: it came before. Sequence numbers stay far below 2^53.
  #take(event) {
    const sequence = Number(event.sequence);
    if (sequence <= this.#sequence || this.#ahead.has(sequence)) return false;
    if (event.sessionStarted) {
      this.#started = {...event.sessionStarted, sessionId: event.sessionId};
      this.#ahead.add(sequence); // what was missed comes after it, and is older
    } else {
      this.#sequence = sequence;
    }
    while (this.#ahead.has(this.#sequence + 1)) this.#sequence++;
    for (const each of this.#ahead) if (each <= this.#sequence) this.#ahead.delete(each);
    if (event.progress) this.#heard(Number(event.progress.receivedUntilSamples ?? 0));
    if (event.sessionClosed?.reason === 'CLOSE_REASON_END_OF_AUDIO') this.#closed = true;
    return true;
  }

  #heard(position) {
    this.#received = Math.max(this.#received, position);
    this.#ring.forget(this.#received);
    this.#notify();
  }

  #delayMs(error, attempts) {
    const {reason, status, retryAfterS} = error;
    if (!this.#policy.reconnect || !this.#started?.resumeToken || OVER.has(reason)) return null;
    if (reason === 'STREAM_AGE' && !attempts) return 0;
    const passes = BY_TRANSPORT.has(status) || retryAfterS !== undefined;
    if (!passes) return null;
    return Math.random() * Math.min(5_000, 100 * 2 ** Math.min(attempts, 10)) + (retryAfterS ?? 0) * 1_000;
  }

  #changed() {
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  #notify() {
    for (const resolve of this.#waiting.splice(0)) resolve();
  }
}
