// Audio for the command: a WAV file as it is, or raw PCM on standard input, in frames.
import {open} from 'node:fs/promises';

const ENCODINGS = {
  '1/16': 'AUDIO_ENCODING_LINEAR16',
  '3/32': 'AUDIO_ENCODING_FLOAT32',
  '6/8': 'AUDIO_ENCODING_ALAW',
  '7/8': 'AUDIO_ENCODING_MULAW',
};

/** What cannot be read; the message says why. */
export class InputError extends Error {}

/** Raw LINEAR16 of one channel on a stream. */
export function rawSource(stream, rateHz) {
  const audio = {encoding: 'AUDIO_ENCODING_LINEAR16', sampleRateHz: rateHz, channelCount: 1};
  return {audio, frames: (frameMs) => cut(stream, frameSize(audio, 2, frameMs), 2)};
}

/** A WAV file of 16-bit, float, A-law or μ-law samples. Nothing is converted. */
export async function wavSource(path) {
  const file = await open(path).catch((error) => {
    throw new InputError(`${path}: ${error.code === 'ENOENT' ? 'there is no such file' : error.message}`);
  });
  const {audio, frameBytes, start, bytes} = await header(file, path).catch(async (error) => {
    await file.close();
    throw error;
  });
  async function* frames(frameMs) {
    if (!bytes) return file.close();
    const stream = file.createReadStream({start, end: start + bytes - 1}); // closes the file at its end
    yield* cut(stream, frameSize(audio, frameBytes, frameMs), frameBytes);
  }
  return {audio, frames};
}

function frameSize(audio, frameBytes, frameMs) {
  return Math.max(1, Math.floor((audio.sampleRateHz * frameMs) / 1_000)) * frameBytes;
}

async function header(file, path) {
  const read = async (position, length) => {
    const {buffer, bytesRead} = await file.read(Buffer.alloc(length), 0, length, position);
    if (bytesRead < length) throw new InputError(`${path}: no WAV file with audio`);
    return buffer;
  };
  const riff = await read(0, 12);
  if (riff.toString('latin1', 0, 4) !== 'RIFF' || riff.toString('latin1', 8, 12) !== 'WAVE') {
    throw new InputError(`${path}: no WAV file`);
  }
  let format;
  for (let at = 12; ; ) {
    const head = await read(at, 8);
    const [name, bytes] = [head.toString('latin1', 0, 4), head.readUInt32LE(4)];
    if (name === 'fmt ') format = parse(await read(at + 8, Math.min(bytes, 40)), path);
    if (name === 'data' && format) {
      const {size} = await file.stat();
      const there = Math.min(bytes, size - at - 8);
      return {...format, start: at + 8, bytes: there - (there % format.frameBytes)};
    }
    at += 8 + bytes + (bytes % 2);
  }
}

function parse(chunk, path) {
  if (chunk.length < 16) throw new InputError(`${path}: its fmt chunk is too short`);
  const [tag, bits] = [chunk.readUInt16LE(0), chunk.readUInt16LE(14)];
  // WAVE_FORMAT_EXTENSIBLE has the real one behind.
  const real = tag === 0xfffe && chunk.length >= 26 ? chunk.readUInt16LE(24) : tag;
  const encoding = ENCODINGS[`${real}/${bits}`];
  if (!encoding) {
    throw new InputError(`${path}: got format ${real} with ${bits} bits, expected 16-bit, float, A-law or μ-law`);
  }
  const channelCount = chunk.readUInt16LE(2);
  if (!channelCount) throw new InputError(`${path}: got 0 channels, expected 1 or more`);
  const audio = {encoding, sampleRateHz: chunk.readUInt32LE(4), channelCount};
  return {audio, frameBytes: (channelCount * bits) / 8};
}

async function* cut(stream, size, frameBytes) {
  let pending = Buffer.alloc(0);
  for await (const data of stream) {
    pending = pending.length ? Buffer.concat([pending, data]) : data;
    let at = 0;
    for (; pending.length - at >= size; at += size) yield pending.subarray(at, at + size);
    pending = pending.subarray(at);
  }
  if (pending.length % frameBytes) {
    throw new InputError(`the input ended within a sample: one has ${frameBytes} bytes`);
  }
  if (pending.length) yield pending;
}
