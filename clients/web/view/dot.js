import { level } from "../talk/format.js";
import { emotionClass } from "../talk/labels.js";
import { shape } from "./dom.js";

/**
 * A dot of the trail: filled where it may be acted on, hollow where not, dashed while it may change.
 *
 * @param {import("../talk/utterance.js").Utterance} utterance
 * @param {{x: number, y: number, age: number, picked: boolean}} at age 0: the newest
 */
export function dot(utterance, { x, y, age, picked }) {
  const kind = utterance.provisional ? "open" : utterance.isSure ? emotionClass(utterance.label) : "unsure";
  const size = age === 0 ? 7 : 5;
  const parts = [shape("circle", { cx: x, cy: y, r: size, class: "point" })];
  if (age === 0 || picked) parts.unshift(shape("circle", { cx: x, cy: y, r: size + 5, class: "ring" }));
  const made = shape("g", { class: `dot ${kind}`, "data-id": utterance.id, opacity: Math.max(0.3, 1 - age * 0.07) }, ...parts);
  if (age < 4 || picked) made.append(shape("text", { x, y: y - size - 8, class: "number" }, String(utterance.number)));
  return made;
}

/** @param {import("../talk/utterance.js").Utterance[]} points @param {string[]} names of dimensions */
export function inWords(points, names) {
  const newest = points.at(-1);
  if (!newest) return "Nothing was scored yet.";
  const told = names.map((name) => `${name} ${level(newest.dimensions[name] ?? 0)}`).join(", ");
  return `Newest: utterance ${newest.number}, ${told}.`;
}
