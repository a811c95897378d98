// How a proxy leads a session's next call to the replica that holds it: by a cookie, set with a call's first headers.
const MAX_BYTES = 4_096;

/**
 * What the next call of the session shows, as `name=value; name=value`.
 * @param {(string | Buffer)[]} values of the set-cookie headers
 * @param {string} before what the call itself showed: it holds on where the headers do not set it anew
 */
export function kept(values, before) {
  const jar = new Map();
  for (const text of [...before.split(';'), ...values.map((value) => String(value).split(';')[0])]) {
    const at = text.indexOf('=');
    if (at > 0 && text.slice(0, at).trim()) jar.set(text.slice(0, at).trim(), text.slice(at + 1).trim());
  }
  const shown = [...jar].map(([name, value]) => `${name}=${value}`).join('; ');
  return shown.length <= MAX_BYTES ? shown : before;
}
