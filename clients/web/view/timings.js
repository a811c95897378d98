import { milliseconds } from "../talk/format.js";
import { byId, element } from "./dom.js";

const STAGES = [
  ["hangoverMs", "Silence that was waited for", "audio"],
  ["decisionMs", "Deciding that it has ended", "work"],
  ["queueMs", "Waiting to be scored", "wait"],
  ["inferenceQueueMs", "Waiting at the inference server", "wait"],
  ["computeMs", "The model", "work"],
  ["explainMs", "Waiting for cues and salient spans", "wait"],
  ["decideMs", "Deciding what to tell", "work"],
];

/** The stages of one utterance's final event. */
export function showTimings(utterance) {
  const timing = utterance.affect?.timing;
  if (!timing) return clearTimings();
  byId("timing-which").textContent = `Utterance ${utterance.number}`;
  const rows = STAGES.filter(([key]) => timing[key] !== undefined).map(([key, name, kind]) => [name, timing[key], kind, key]);
  if (utterance.shownAfterMs !== null) rows.push(["On this page, after the audio that decided", utterance.shownAfterMs, "total", "shown"]);
  const most = Math.max(1, ...rows.map(([, value]) => value));
  const list = element("ul", { class: "stages" }, ...rows.map((row) => stage(row, most)));
  const parts = [list];
  if (timing.speculated) {
    parts.push(element("p", { class: "detail" }, "Scored while the silence was waited for: the score was ready when the end was declared."));
  }
  byId("timings").replaceChildren(...parts);
}

/** @param {any[]} row @param {number} most */
function stage([name, value, kind, key], most) {
  const bar = element("span", { class: "bar" });
  bar.style.inlineSize = `${(Math.max(0, value / most) * 100).toFixed(1)}%`;
  return element(
    "li",
    { class: `stage ${kind}`, "data-stage": key },
    element("span", { class: "name" }, name),
    element("span", { class: "value" }, milliseconds(value)),
    element("span", { class: "track", "aria-hidden": "true" }, bar),
  );
}

export function clearTimings() {
  byId("timing-which").textContent = "";
  byId("timings").replaceChildren(element("p", { class: "detail" }, "Each utterance tells how long its stages took."));
}
