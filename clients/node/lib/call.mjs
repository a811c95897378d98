// One call: requests out, events in, and a limit to every wait.
import {once} from 'node:events';

import {kept} from './cookies.mjs';
import {AffectError, toError} from './errors.mjs';

export class Call {
  #stream;
  #address;
  #deadlines;
  #timer;
  #late;
  #ended = false;
  #over = false;
  #started;
  #tell;

  constructor(stream, config, address, deadlines, cookies) {
    this.#stream = stream;
    this.#address = address;
    this.#deadlines = deadlines;
    /** To be shown by the call that goes on with this one's session. */
    this.cookies = cookies;
    stream.once('metadata', (headers) => {
      this.cookies = kept(headers.get('set-cookie'), cookies);
    });
    stream.on('error', () => {}); // `events` raises it; without a listener it would end the process
    this.#started = new Promise((resolve) => {
      this.#tell = resolve;
    });
    stream.once('close', () => this.#tell(null));
    this.#expect(this.#deadlines.start, 'no session_started');
    stream.write({config});
  }

  /** Resolves to `sessionStarted`, or to null where the call ended without one. */
  get started() {
    return this.#started;
  }

  get isOver() {
    return this.#over || this.#stream.destroyed;
  }

  /** Resolves when the transport has room for more: HTTP/2 lets the server hold its callers back. */
  async write(request) {
    if (this.isOver || this.#stream.write(request)) return;
    const over = new AbortController();
    const {signal} = over;
    await Promise.race([
      once(this.#stream, 'drain', {signal}),
      once(this.#stream, 'close', {signal}),
      once(this.#stream, 'end', {signal}),
    ]).catch(() => {});
    over.abort();
  }

  /** All audio was sent. The half-close alone would abandon the session. */
  async end() {
    await this.write({control: {endOfAudio: {}}});
    this.#ended = true;
    this.#expect(this.#deadlines.idle, 'no event after the end of audio');
    this.#stream.end();
  }

  /** Every event as it comes. Throws `AffectError` where the call does not end well. */
  async *events() {
    try {
      for await (const {event} of this.#stream) {
        clearTimeout(this.#timer);
        if (this.#ended) this.#expect(this.#deadlines.idle, 'no event after the end of audio');
        if (event.sessionStarted) {
          this.#address = undefined; // what ends the call from here on is no fault of connecting
          this.#tell(event.sessionStarted);
        }
        yield event;
      }
    } catch (error) {
      throw this.#late ?? toError(error, this.#address);
    } finally {
      this.cancel();
    }
  }

  cancel() {
    this.#over = true;
    clearTimeout(this.#timer);
    this.#stream.cancel();
    this.#tell(null);
  }

  #expect(ms, what) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.#late = new AffectError('DEADLINE_EXCEEDED', `${what} within ${ms / 1000} s`);
      this.#stream.cancel();
    }, ms);
  }
}
