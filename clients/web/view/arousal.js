import { level } from "../talk/format.js";
import { shape } from "./dom.js";
import { dot, inWords } from "./dot.js";

const WIDTH = 440;
const HEIGHT = 220;
const LEFT = 62;
const RIGHT = 16;
const TOP = 26;
const BOTTOM = 22;
const LEAST_SLOTS = 8;

/** Arousal of the newest utterances, in their order. */
export function drawArousal(points, picked) {
  const slots = Math.max(LEAST_SLOTS, points.length);
  const x = (index) => LEFT + ((index + 0.5) / slots) * (WIDTH - LEFT - RIGHT);
  const y = (value) => TOP + (1 - value) * (HEIGHT - TOP - BOTTOM);
  const places = points.map((utterance, index) => ({ x: x(index), y: y(utterance.dimensions.arousal) }));
  const lines = [0, 0.5, 1].map((value) => shape("line", { x1: LEFT, x2: WIDTH - RIGHT, y1: y(value), y2: y(value), class: "grid" }));
  const words = [
    shape("text", { x: LEFT - 12, y: y(1) + 4, class: "end" }, "excited"),
    shape("text", { x: LEFT - 12, y: y(0.5) + 4, class: "end faint" }, "0.5"),
    shape("text", { x: LEFT - 12, y: y(0) + 4, class: "end" }, "calm"),
  ];
  const way = places.length > 1 ? [shape("polyline", { points: places.map((at) => `${at.x},${at.y}`).join(" "), class: "way" })] : [];
  const dots = points.map((utterance, index) => {
    const age = points.length - 1 - index;
    return dot(utterance, { ...places[index], age, picked: utterance.id === picked });
  });
  const newest = points.at(-1);
  const told = newest ? [shape("text", { x: places.at(-1).x, y: places.at(-1).y + 26, class: "value" }, level(newest.dimensions.arousal))] : [];
  const label = `Arousal, from 0, calm, to 1, excited. ${inWords(points, ["arousal"])}`;
  return shape("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": label }, ...lines, ...words, ...way, ...dots, ...told);
}
