import { counted } from "../talk/format.js";
import { drawArousal } from "./arousal.js";
import { byId } from "./dom.js";
import { drawPlane } from "./plane.js";

const MOST = 14;

/** Where the utterances lie: on the plane of valence and arousal, or by arousal alone where the model gives no more. */
export function drawTrail(talk, picked) {
  const onPlane = talk.dimensions.includes("valence");
  byId("plane-title").textContent = onPlane ? "Valence and arousal" : "Arousal";
  const points = talk.utterances
    .filter(({ hasValues, dimensions }) => hasValues && dimensions.arousal !== undefined && (!onPlane || dimensions.valence !== undefined))
    .slice(-MOST);
  byId("plane-which").textContent = points.length ? `newest ${counted(points.length, "utterance")}` : "";
  const chart = onPlane ? drawPlane(points, picked) : drawArousal(points, picked);
  byId("plane").replaceChildren(chart);
}
