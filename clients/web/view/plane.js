import { shape } from "./dom.js";
import { dot, inWords } from "./dot.js";

const WIDTH = 440;
const HEIGHT = 340;
const MARGIN = 26;

/** Valence to the right, arousal upwards, the newest utterances as a trail. */
export function drawPlane(points, picked) {
  const x = (valence) => MARGIN + valence * (WIDTH - 2 * MARGIN);
  const y = (arousal) => MARGIN + (1 - arousal) * (HEIGHT - 2 * MARGIN);
  const places = points.map(({ dimensions }) => ({ x: x(dimensions.valence), y: y(dimensions.arousal) }));
  const frame = [
    shape("rect", { x: x(0), y: y(1), width: x(1) - x(0), height: y(0) - y(1), rx: 10, class: "frame" }),
    shape("line", { x1: x(0.5), x2: x(0.5), y1: y(1), y2: y(0), class: "grid" }),
    shape("line", { x1: x(0), x2: x(1), y1: y(0.5), y2: y(0.5), class: "grid" }),
  ];
  const words = [
    shape("text", { x: x(0.5) + 8, y: y(1) + 16 }, "excited"),
    shape("text", { x: x(0.5) + 8, y: y(0) - 8 }, "calm"),
    shape("text", { x: x(0) + 10, y: y(0.5) - 8 }, "negative"),
    shape("text", { x: x(1) - 10, y: y(0.5) - 8, class: "end" }, "positive"),
  ];
  const way = places.slice(1).map((to, index) => {
    const from = places[index];
    const age = places.length - 2 - index;
    return shape("line", { x1: from.x, y1: from.y, x2: to.x, y2: to.y, class: "way", opacity: Math.max(0.15, 0.8 - age * 0.08) });
  });
  const dots = points.map((utterance, index) => {
    const age = points.length - 1 - index;
    return dot(utterance, { ...places[index], age, picked: utterance.id === picked });
  });
  const label = `Valence from negative to positive, arousal from calm to excited, both 0 to 1. ${inWords(points, ["valence", "arousal"])}`;
  return shape("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": label, "data-chart": "plane" }, ...frame, ...words, ...way, ...dots);
}
