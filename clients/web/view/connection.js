import { byId } from "./dom.js";

const STATES = {
  idle: ["Not connected", "off"],
  connecting: ["Connecting…", "wait"],
  live: ["Listening", "on"],
  waiting: ["Reconnecting…", "wait"],
  ending: ["Waiting for the last results…", "wait"],
  ended: ["Ended", "off"],
  failed: ["Not connected", "bad"],
};

/** How the line stands, in the header. @param {string} name of a Session's state, or "idle" */
export function showConnection(name) {
  const [text, tone] = STATES[name];
  const pill = byId("connection");
  pill.dataset.tone = tone;
  pill.dataset.name = name;
  byId("connection-text").textContent = text;
}
