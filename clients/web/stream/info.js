import { Ending } from "./line.js";

// What a WebSocket's subprotocol can hold.
const SENDABLE = /^[-!#$%&'*+.^_`|~0-9A-Za-z]*$/;

/**
 * What the server is: GetServerInfo, which says before a WebSocket is tried whether one would be let in.
 *
 * @param {string} token @returns {Promise<object>} rejects with an `Ending`
 */
export async function serverInfo(token) {
  if (!SENDABLE.test(token)) throw new Ending({ code: 4401, reason: "TOKEN_CHARACTERS" });
  let answer;
  try {
    answer = await fetch("v1/info", {
      headers: token ? { Authorization: `Bearer ${token}` } : {},
      cache: "no-store",
      signal: AbortSignal.timeout(8_000),
    });
  } catch {
    throw new Ending();
  }
  const said = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Ending({ ...said.error, code: 4000 + answer.status });
  return said;
}
