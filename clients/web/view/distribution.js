import { percent } from "../talk/format.js";
import { emotionClass } from "../talk/labels.js";
import { element } from "./dom.js";

/**
 * A row for each label: its colour, its name, a bar, its share.
 *
 * @param {HTMLElement} place a list
 * @param {{label: string, share: number, text?: string}[]} rows shares 0..1
 * @param {{faint?: boolean, top?: string}} [how] faint: not to be relied on
 */
export function drawDistribution(place, rows, { faint = false, top = "" } = {}) {
  place.classList.toggle("faint", faint);
  while (place.children.length > rows.length) place.lastElementChild?.remove();
  rows.forEach(({ label, share, text }, index) => {
    const row = place.children[index] ?? place.appendChild(newRow());
    const [name, track, value] = row.children;
    row.className = `row ${emotionClass(label)}${label === top ? " top" : ""}`;
    row.dataset.label = label;
    name.lastChild.textContent = label;
    track.firstElementChild.style.inlineSize = `${(share * 100).toFixed(1)}%`;
    value.textContent = text ?? percent(share);
  });
}

function newRow() {
  const name = element("span", { class: "name" }, element("span", { class: "swatch", "aria-hidden": "true" }), "");
  name.append(document.createTextNode(""));
  const track = element("span", { class: "track", "aria-hidden": "true" }, element("span", { class: "bar" }));
  return element("li", {}, name, track, element("span", { class: "value" }));
}
