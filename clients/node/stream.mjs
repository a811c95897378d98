#!/usr/bin/env node
// Streams a recording, or raw PCM on standard input, and prints what comes back.
import {once} from 'node:events';
import {readFileSync} from 'node:fs';
import {setTimeout as sleep} from 'node:timers/promises';
import {parseArgs} from 'node:util';

import {AffectClient, AffectError, toJson} from './lib/index.mjs';
import {InputError, rawSource, wavSource} from './lib/source.mjs';

const USAGE = `node stream.mjs FILE.wav|- --server HOST:PORT [options]

  --rate HZ            of raw 16-bit mono PCM on standard input ("-")
  --channel N          a channel to analyse, of a recording with several; may be given again
  --speed N            1 is real time (default), 0 as fast as the server takes it
  --frame-ms MS        audio in a message, 10 to 1000 (default: 20)
  --session-id ID      default: the server makes one
  --consent-basis B    consent, contract, legitimate-interest or not-personal; some servers require one
  --json               one SessionEvent in proto3 JSON a line; else one line for each utterance
  --start-s S          to connect and to begin the session (default: 10)
  --no-reconnect       end where the connection is lost
  --give-up-s S        to try again after that (default: 30)
  --tls, --ca FILE, --server-name NAME
                       TLS; the CA also from $AFFECTSTREAM_CA
  --allow-plain-token  show the token in plain text to another machine

The token: $AFFECTSTREAM_TOKEN_FILE, read for every call, or $AFFECTSTREAM_TOKEN.
Exit status: 0 the stream ended well, 1 it did not, 2 wrong usage or input, 130 given up with a second Ctrl-C.`;

const OPTIONS = {
  'allow-plain-token': {type: 'boolean'},
  ca: {type: 'string', default: process.env.AFFECTSTREAM_CA || undefined},
  channel: {type: 'string', multiple: true, default: []},
  'consent-basis': {type: 'string'},
  'frame-ms': {type: 'string', default: '20'},
  'give-up-s': {type: 'string', default: '30'},
  help: {type: 'boolean'},
  json: {type: 'boolean'},
  'no-reconnect': {type: 'boolean'},
  rate: {type: 'string'},
  server: {type: 'string'},
  'server-name': {type: 'string', default: process.env.AFFECTSTREAM_SERVER_NAME || undefined},
  'session-id': {type: 'string'},
  speed: {type: 'string', default: '1'},
  'start-s': {type: 'string', default: '10'},
  tls: {type: 'boolean'},
};

async function main() {
  const {values: given, positionals} = parseArgs({options: OPTIONS, allowPositionals: true});
  if (given.help) return console.log(USAGE);
  if (positionals.length !== 1 || !given.server) throw new InputError('give a FILE or "-", and --server HOST:PORT');
  const speed = number('speed', given.speed, 0, 1_000);
  const frameMs = number('frame-ms', given['frame-ms'], 10, 1_000);
  const source = await openSource(positionals[0], given);
  const client = connect(given);
  const session = client.session(
    {
      sessionId: given['session-id'],
      audio: source.audio,
      channels: channels(source.audio.channelCount, given.channel),
      consentBasis: consentBasis(given['consent-basis']),
    },
    {
      reconnect: !given['no-reconnect'],
      giveUpAfterS: number('give-up-s', given['give-up-s'], 0, 3_600),
      onLost: (error) => console.error(`stream.mjs: ${error}; trying again`),
    },
  );
  let stopped = false;
  process.on('SIGINT', () => {
    if (stopped) process.exit(130);
    stopped = true;
    session.end(); // what was said is still scored
  });
  const sending = send(session, source.frames(frameMs), speed && frameMs / speed, () => stopped);
  const unread = sending.then(
    () => null,
    (error) => (session.end(), error instanceof AffectError ? null : error), // of the session `events` tells
  );
  for await (const event of session.events()) await show(event, given.json);
  client.close();
  const error = stopped ? null : await unread;
  if (error) throw error;
}

// Frame i is due at its own time, whatever became of those before: a slow server does not slow the talk down.
async function send(session, frames, everyMs, isStopped) {
  const began = performance.now();
  let sent = 0;
  for await (const frame of frames) {
    const wait = began + sent++ * everyMs - performance.now();
    if (wait > 0) await sleep(wait);
    if (isStopped()) return;
    await session.send(frame);
  }
  session.end();
}

async function show(event, json) {
  const {affect} = event;
  if (json) return print(toJson(event));
  if (event.warning) console.error(`stream.mjs: warning ${event.warning.code}: ${event.warning.message}`);
  if (affect?.stage !== 'STAGE_FINAL') return;
  const {audioStart, audioEnd, topLabel = '-', dimensions = {}, status} = affect;
  const levels = Object.entries(dimensions).filter(([, level]) => typeof level === 'number');
  const shown = levels.map(([name, level]) => `${name} ${level.toFixed(2)}`).join(' ');
  await print(`${audioStart} ${audioEnd} ${topLabel} ${shown} ${status}`);
}

async function print(line) {
  if (!process.stdout.write(`${line}\n`)) await once(process.stdout, 'drain');
}

function connect(given) {
  const {AFFECTSTREAM_TOKEN_FILE: file, AFFECTSTREAM_TOKEN: token} = process.env;
  try {
    if (file) readFileSync(file);
    return new AffectClient(given.server, {
      tls: given.tls,
      ca: given.ca,
      serverName: given['server-name'],
      token: file ? () => readFileSync(file, 'utf8').trim() : token?.trim(),
      allowPlainToken: given['allow-plain-token'],
      deadlines: {start: 1_000 * number('start-s', given['start-s'], 0, 3_600)},
    });
  } catch (error) {
    throw new InputError(error.message);
  }
}

async function openSource(name, given) {
  if (name !== '-') {
    if (given.rate) throw new InputError('--rate is for raw PCM; a recording says it itself');
    return wavSource(name);
  }
  if (!given.rate) throw new InputError('raw PCM on standard input needs --rate, such as: --rate 16000');
  return rawSource(process.stdin, number('rate', given.rate, 1, 2 ** 32 - 1));
}

function channels(count, chosen) {
  const analysed = chosen.map((text) => number('channel', text, 0, count - 1));
  if (count > 1 && !analysed.length) {
    throw new InputError(`the recording has ${count} channels: say which to analyse, such as --channel 0`);
  }
  return count === 1 ? [] : Array.from({length: count}, (_, index) => ({index, analyze: analysed.includes(index)}));
}

const BASES = ['consent', 'contract', 'legitimate-interest', 'not-personal'];

function consentBasis(name) {
  if (name === undefined) return undefined;
  if (!BASES.includes(name)) throw new InputError(`--consent-basis: got ${name}, expected one of ${BASES.join(', ')}`);
  return `CONSENT_BASIS_${name.toUpperCase().replace('-', '_')}`;
}

function number(name, text, least, most) {
  const value = Number(text);
  if (text.trim() && value >= least && value <= most && (/^speed$|-s$/.test(name) || Number.isInteger(value))) return value;
  throw new InputError(`--${name}: got ${text}, expected ${least} to ${most}`);
}

process.stdout.on('error', () => process.exit(1)); // the reader went away, as `| head` does
main().catch((error) => {
  const usage = error instanceof InputError || String(error.code).startsWith('ERR_PARSE_ARGS');
  console.error(`stream.mjs: ${error instanceof AffectError ? error : error.message}`);
  process.exit(usage ? 2 : 1);
});
