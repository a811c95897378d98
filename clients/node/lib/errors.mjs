// What ends a call, told as docs/client.md tells it: status, reason, field, value, limit.
import grpc from '@grpc/grpc-js';
import protobuf from 'protobufjs';

const DOMAIN = 'affectstream.dev';

// The part of google.rpc that this service uses; the numbers are google.rpc's.
const {root} = protobuf.parse(`syntax = "proto3";
  package google.rpc;
  message Detail { string type_url = 1; bytes value = 2; }
  message Status { int32 code = 1; string message = 2; repeated Detail details = 3; }
  message ErrorInfo { string reason = 1; string domain = 2; map<string, string> metadata = 3; }
  message Delay { int64 seconds = 1; int32 nanos = 2; }
  message RetryInfo { Delay retry_delay = 1; }`);
const Status = root.lookupType('google.rpc.Status');

// Text of a proxy or a library can hold anything: of what no Affectstream server explained, this is said.
const PLAIN = {
  CANCELLED: 'the call was cancelled',
  DEADLINE_EXCEEDED: 'the server did not answer in time',
  RESOURCE_EXHAUSTED: 'a message was too large, or the server has no room for this call',
  UNAUTHENTICATED: 'the server did not accept the credentials',
  UNAVAILABLE: 'the connection to the server was lost',
  UNIMPLEMENTED: 'this server does not serve that call',
};

const CAUSES = [
  ['ECONNREFUSED', 'connection refused'],
  ['Name resolution failed', 'no such host name'],
  ['ENOTFOUND', 'no such host name'],
  ['ETIMEDOUT', 'no answer'],
  ['EHOSTUNREACH', 'no route to it'],
  ['ALTNAME_INVALID', 'its certificate is for another name'],
  ['altnames', 'its certificate is for another name'],
  ['certificate has expired', 'its certificate has expired'],
  ['certificate', 'its certificate is of a CA that is not trusted here'],
  ['wrong version number', 'it does not speak TLS'],
  ['EPROTO', 'the secure handshake failed'],
  ['ECONNRESET', 'it closed the connection: is it full, or does it want TLS?'],
];

/** Why a call ended. Every part but `status` and the message may be empty. */
export class AffectError extends Error {
  constructor(status, message, {reason = '', field = '', value = '', limit = '', retryAfterS} = {}) {
    super(message);
    this.name = 'AffectError';
    /** The gRPC status, such as "INVALID_ARGUMENT". */
    this.status = status;
    /** Stable, upper case; empty: no Affectstream server said so. */
    this.reason = reason;
    this.field = field;
    this.value = value;
    this.limit = limit;
    /** Seconds after which a retry helps, where the server says so. */
    this.retryAfterS = retryAfterS;
  }

  /** One line for people, with everything that is known. */
  toString() {
    const known = ['reason', 'field', 'value', 'limit'].filter((name) => this[name]);
    const parts = known.map((name) => `${name}: ${this[name]}`);
    if (this.retryAfterS !== undefined) parts.push(`retry after: ${this.retryAfterS} s`);
    return `${this.status}: ${this.message}${parts.length ? ` (${parts.join(', ')})` : ''}`;
  }
}

/**
 * The error for what grpc-js raised; one of ours passes as it is.
 * @param {string} [address] where the server was looked for, as long as nothing came from there
 */
export function toError(raised, address) {
  if (raised instanceof AffectError) return raised;
  const status = grpc.status[raised.code];
  if (status === undefined) return new AffectError('INTERNAL', `unexpected: ${raised.message}`);
  const found = details(raised.metadata);
  if (found.reason) return new AffectError(status, oneLine(raised.details), found);
  const cause = address && status === 'UNAVAILABLE' && CAUSES.find(([mark]) => raised.details.includes(mark));
  if (cause) return new AffectError(status, `no connection to ${address}: ${cause[1]}`);
  return new AffectError(status, PLAIN[status] ?? `the server failed (${status})`, found);
}

function details(metadata) {
  const found = {};
  for (const blob of metadata?.get('grpc-status-details-bin') ?? []) {
    for (const {typeUrl, value} of Status.decode(blob).details) {
      const name = typeUrl.split('/').pop();
      if (name !== 'google.rpc.ErrorInfo' && name !== 'google.rpc.RetryInfo') continue;
      const detail = root.lookupType(name).decode(value);
      if (detail.domain === DOMAIN) Object.assign(found, detail.metadata, {reason: detail.reason});
      if (detail.retryDelay) found.retryAfterS = Number(detail.retryDelay.seconds) + detail.retryDelay.nanos / 1e9;
    }
  }
  return found;
}

function oneLine(text) {
  return text.split(/\s+/).join(' ');
}
