export const PROTOCOL = "affectstream.v1";

/** Why a connection ended. `reason`, `status` and `message` are the server's own where it said something. */
export class Ending {
  constructor({ code = 1006, status = "", reason = "", message = "", retryAfterS = 0, opened = false } = {}) {
    this.code = code;
    this.status = status;
    this.reason = reason;
    this.message = message;
    this.retryAfterS = retryAfterS;
    /** The WebSocket was let in before it ended. */
    this.opened = opened;
  }
}

/** One WebSocket: a config, then audio and controls one way, events the other. */
export class Line {
  /**
   * @param {{token: string, config: object, onEvent: (event: object) => void, onEnd: (ending: Ending) => void}} options
   */
  constructor({ token, config, onEvent, onEnd }) {
    this._error = null;
    this._done = false;
    this._onEnd = onEnd;
    const url = new URL("v1/stream", document.baseURI);
    url.protocol = url.protocol.replace("http", "ws");
    this._socket = new WebSocket(url, token ? [PROTOCOL, `bearer.${token}`] : [PROTOCOL]);
    let opened = false;
    this._socket.onopen = () => {
      opened = true;
      this._send({ config });
    };
    this._socket.onmessage = ({ data }) => {
      const said = JSON.parse(data);
      if (said.error) this._error = said.error;
      else if (said.event && !this._done) onEvent(said.event);
    };
    this._socket.onclose = ({ code, reason }) => this._end(new Ending({ reason, ...this._error, code, opened }));
  }

  /** Whether something can be sent: not while it closes. */
  get isOpen() {
    return this._socket.readyState === WebSocket.OPEN;
  }

  /** Bytes that still wait in the browser. */
  get waiting() {
    return this._socket.bufferedAmount;
  }

  /** @param {Int16Array} samples @param {number | null} start their position; null: right after those before */
  audio(samples, start) {
    if (start === null) this._socket.send(samples);
    else this._send({ audio: { data: base64(samples), startSamples: String(start) } });
  }

  /** @param {object} control */
  control(control) {
    this._send({ control });
  }

  /** Leave it, for this reason; nothing is told after that. */
  drop(ending) {
    this._socket.close();
    this._end(ending);
  }

  _send(message) {
    if (this.isOpen) this._socket.send(JSON.stringify(message));
  }

  _end(ending) {
    if (this._done) return;
    this._done = true;
    this._onEnd(ending);
  }
}

function base64(samples) {
  const bytes = new Uint8Array(samples.buffer, samples.byteOffset, samples.byteLength);
  let text = "";
  for (let i = 0; i < bytes.length; i += 8192) text += String.fromCharCode(...bytes.subarray(i, i + 8192));
  return btoa(text);
}
