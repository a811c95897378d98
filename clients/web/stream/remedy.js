/** What helps after a connection has ended: "resume", "resume-now", "new-session" or "stop". */
const BY_REASON = {
  STREAM_AGE: "resume-now",
  SESSION_NOT_FOUND: "new-session",
  DRAINING: "new-session",
  SESSION_AGE: "new-session",
  INTERNAL_FAULT: "resume",
  SUPERSEDED: "stop",
  RESUME_SUPERSEDED: "stop",
};
const TRY_AGAIN = new Set([4408, 4429, 4499, 4503]);

/** @param {import("./line.js").Ending} ending */
export function remedy(ending) {
  if (BY_REASON[ending.reason]) return BY_REASON[ending.reason];
  if (ending.code === 4429) return ending.retryAfterS || ending.reason === "SLOW_READER" ? "resume" : "stop";
  if (TRY_AGAIN.has(ending.code)) return "resume";
  if (ending.code === 4500) return ending.reason ? "stop" : "resume";
  // 1009 is a message of ours that is too long; the other codes below 4000 are of the line.
  return ending.code < 4000 && ending.code !== 1009 ? "resume" : "stop";
}
