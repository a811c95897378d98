const KNOWN = new Set(["neutral", "happy", "sad", "angry", "fearful", "disgusted", "surprised"]);

/** @param {string} label @returns {string} the class that gives its colour (style/tokens.css) */
export function emotionClass(label) {
  return `emotion-${KNOWN.has(label) ? label : "other"}`;
}
