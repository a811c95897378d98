/* Runs in the audio thread: gathers blocks of 32 ms, as 16-bit samples of one channel. */

const BLOCK_S = 0.032;

class Capture extends AudioWorkletProcessor {
  constructor() {
    super();
    this._block = new Int16Array(Math.round(sampleRate * BLOCK_S));
    this._filled = 0;
    this._ended = false;
    this.port.onmessage = () => {
      this._send();
      this._ended = true;
      this.port.postMessage(null);
    };
  }

  /** @param {Float32Array[][]} inputs */
  process([channels]) {
    const [samples] = channels;
    for (let i = 0; samples && i < samples.length; i++) {
      this._block[this._filled++] = Math.round(Math.max(-1, Math.min(1, samples[i])) * 32767);
      if (this._filled === this._block.length) this._send();
    }
    return !this._ended;
  }

  _send() {
    if (this._filled && !this._ended) this.port.postMessage(this._block.slice(0, this._filled));
    this._filled = 0;
  }
}

registerProcessor("capture", Capture);
