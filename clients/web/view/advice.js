/**
 * What went wrong in a few words, and what to do.
 *
 * @typedef {{title: string, help: string}} Advice
 */

/** @type {Record<string, Advice>} by SourceFault.kind and by Microphone.state */
export const SOURCE_ADVICE = {
  denied: {
    title: "The microphone was not allowed",
    help: "Allow it for this page beside the address, then try again. Or choose a recording: that needs no permission.",
  },
  none: { title: "No microphone was found", help: "Connect one and try again, or choose a recording." },
  busy: {
    title: "The microphone cannot be opened",
    help: "Another program may be using it. Close that and try again, or choose a recording.",
  },
  insecure: {
    title: "The browser gives no microphone to this address",
    help: "Microphones work over HTTPS or on localhost only. A recording works here, too.",
  },
  file: {
    title: "This browser cannot read the recording",
    help: "WAV, FLAC, MP3, Ogg and M4A usually work. Try another file.",
  },
  "file-large": { title: "The recording is too large", help: "Choose a shorter one, or stream it from the command line." },
  sample: { title: "The sample talk is not there", help: "This bridge does not have it. Choose a recording of your own." },
  suspended: {
    title: "The browser paused the audio",
    help: "It does so in tabs that sleep and during calls. Nothing is heard until it goes on.",
  },
  lost: {
    title: "The microphone was taken away",
    help: "It was unplugged, or the permission was withdrawn. It goes on when a microphone is back.",
  },
  muted: { title: "The microphone is muted", help: "The system sends silence. Unmute it on the device or in the system." },
  quiet: { title: "No audio comes from the microphone", help: "The device may be waking up, or the tab is held back." },
};

const BY_REASON = {
  TOKEN_CHARACTERS: {
    title: "A browser cannot send this token",
    help: "Tokens for browsers have letters, digits and -._~+ only. Ask for another.",
  },
  BRIDGE_FULL: { title: "The server is full", help: "It has as many connections as it takes. It is tried again." },
  BRIDGE_STOPPING: { title: "The bridge is stopping", help: "It is tried again until one is back; the newest 10 seconds are kept." },
  SERVER_UNREACHABLE: { title: "The server is away", help: "The bridge is there, the server behind it is not. It is tried again." },
  ORIGIN_NOT_ALLOWED: { title: "This address may not use the bridge", help: "Its operator can name it with --allow-origin." },
  NO_ANSWER: { title: "The server does not answer", help: "The line is tried anew; the newest 10 seconds are kept." },
  DRAINING: { title: "The server is restarting", help: "A new session begins as soon as one is back." },
  SESSION_NOT_FOUND: { title: "The server has the session no more", help: "A new one goes on from what has no result yet." },
  SLOW_READER: { title: "This page read too slowly", help: "Its tab may have slept. It goes on by itself." },
  RESUME_SUPERSEDED: { title: "Another page has this session", help: "Start again for one of its own." },
  SUPERSEDED: { title: "Another page has this session", help: "Start again for one of its own." },
};

const BY_CODE = {
  1009: { title: "A message was too long", help: "This is a fault of the page. Start again." },
  4400: { title: "The server refused what was sent", help: "The message below says which field, and its limit." },
  4401: { title: "The server does not accept the token", help: "Enter one that is valid, then start again." },
  4403: { title: "This is not permitted", help: "The token, or this page’s address, may not do this." },
  4404: { title: "The session is over", help: "Start again." },
  4409: { title: "Another page has this session", help: "Start again for one of its own." },
  4412: { title: "The server asks for something first", help: "Such as consent, or a role that it may hear." },
  4429: { title: "A limit was reached", help: "The server is full, or audio came too fast. Wait a moment, then start again." },
  4501: { title: "The server does not serve this", help: "The message below says what." },
  4503: { title: "The server is away", help: "It is tried again; the newest 10 seconds are kept." },
};
const LOST = { title: "The connection was lost", help: "It is tried again; the newest 10 seconds of audio are kept." };
const FAILED = { title: "The server failed", help: "Start again. Its log has the cause." };

/** @param {import("../stream/line.js").Ending} ending @returns {Advice} */
export function endingAdvice(ending) {
  return BY_REASON[ending.reason] ?? BY_CODE[ending.code] ?? (ending.code < 4000 || ending.code === 4408 ? LOST : FAILED);
}
