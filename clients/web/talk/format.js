/** @param {string | undefined} duration of proto3 JSON, such as "1.250s" @returns {number} seconds */
export function seconds(duration) {
  return duration ? Number.parseFloat(duration) : 0;
}

/** @param {number} value seconds @param {number} decimals @returns {string} such as "1:03.2" */
export function clock(value, decimals = 1) {
  const rounded = Number(value.toFixed(decimals));
  const minutes = Math.floor(rounded / 60);
  const rest = (rounded - 60 * minutes).toFixed(decimals);
  return `${minutes}:${rest.padStart(decimals ? 3 + decimals : 2, "0")}`;
}

/** @param {number} share 0..1 */
export function percent(share) {
  return `${Math.round(share * 100)} %`;
}

/** @param {number} ms */
export function milliseconds(ms) {
  return ms < 10 ? `${ms.toFixed(1)} ms` : `${Math.round(ms)} ms`;
}

/** @param {number} value a level, 0..1 */
export function level(value) {
  return value.toFixed(2);
}

/** @param {number} count @param {string} noun */
export function counted(count, noun) {
  return `${count} ${noun}${count === 1 ? "" : "s"}`;
}
