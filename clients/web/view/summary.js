import { clock, level, percent, seconds } from "../talk/format.js";
import { statusWords } from "../talk/words.js";
import { drawDistribution } from "./distribution.js";
import { byId, element } from "./dom.js";

/** The server's summary of the session, and what this page knows of it. @param {import("../talk/talk.js").Talk} talk */
export function showSummary(talk) {
  const { summary } = talk;
  if (!summary) return;
  const facts = [
    ["Audio", clock(seconds(summary.audioDuration))],
    ["Speech", clock(seconds(summary.speechDuration))],
    ["Utterances", String(summary.utterances ?? 0)],
  ];
  for (const [status, count] of Object.entries(summary.finalsByStatus ?? {})) {
    facts.push([status === "OK" ? "With a clear emotion" : statusWords(status), String(count)]);
  }
  for (const name of ["valence", "arousal", "dominance"]) {
    const mean = summary.meanDimensions?.[name];
    if (mean !== undefined) facts.push([`Mean ${name}`, level(mean)]);
  }
  const peak = talk.find(summary.peakUtteranceId ?? "");
  if (peak) facts.push(["Highest arousal", `utterance ${peak.number}`]);
  if (talk.lostS > 0.05) facts.push(["Lost on the way", clock(talk.lostS)]);
  if (talk.sessions > 1) facts.push(["Sessions, this is the last one’s", String(talk.sessions)]);
  byId("facts").replaceChildren(...facts.map(([name, value]) => element("div", {}, element("dt", {}, name), element("dd", {}, value))));
  const states = (summary.states ?? []).map(({ label, speechDuration }) => ({ label, time: seconds(speechDuration) }));
  const whole = states.reduce((sum, { time }) => sum + time, 0);
  drawDistribution(
    byId("states"),
    states.map(({ label, time }) => ({ label, share: whole ? time / whole : 0, text: `${time.toFixed(1)} s, ${percent(whole ? time / whole : 0)}` })),
  );
  byId("summary").hidden = false;
}

export function hideSummary() {
  byId("summary").hidden = true;
}
