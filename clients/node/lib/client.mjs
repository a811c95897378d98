// Where the server is, and how to get in: one connection for any number of sessions.
import {readFileSync} from 'node:fs';

import grpc from '@grpc/grpc-js';

import {Call} from './call.mjs';
import {DEADLINES} from './deadlines.mjs';
import {AffectError, toError} from './errors.mjs';
import {AffectService} from './proto.mjs';
import {Session} from './session.mjs';

const OPTIONS = {
  // A peer that stops answering without closing is found after both. The server sends away who pings more
  // often than every 5 s.
  'grpc.keepalive_time_ms': 10_000,
  'grpc.keepalive_timeout_ms': 5_000,
  'grpc.keepalive_permit_without_calls': 0,
  'grpc.max_receive_message_length': 4 * 1024 * 1024,
  // A session has its own back-off; the channel's would grow to two minutes.
  'grpc.initial_reconnect_backoff_ms': 100,
  'grpc.max_reconnect_backoff_ms': 1_000,
  // A stream cannot be repeated by the library: it does not know what the server has heard.
  'grpc.enable_retries': 0,
};

export class AffectClient {
  /**
   * @param {string} address HOST:PORT
   * @param {object} [access]
   * @param {boolean} [access.tls] by TLS, with the system's CAs; implied by `ca` and `serverName`
   * @param {string} [access.ca] file with the CA that signed the server's certificate, PEM
   * @param {string} [access.serverName] the name in the certificate, if it is not the address's
   * @param {string|(() => string)} [access.token] sent with every call; a function is asked for every call
   * @param {boolean} [access.allowPlainToken] send it in plain text to another machine, too
   * @param {Partial<typeof DEADLINES>} [access.deadlines] in ms
   */
  constructor(address, {tls, ca, serverName, token, allowPlainToken, deadlines} = {}) {
    const secure = Boolean(tls || ca || serverName);
    if (token && !secure && !allowPlainToken && !isLoopback(address)) {
      throw new TypeError(`the token would go to ${address} in plain text: use TLS, or allowPlainToken`);
    }
    const options = serverName ? {...OPTIONS, 'grpc.ssl_target_name_override': serverName} : OPTIONS;
    const credentials = secure
      ? grpc.credentials.createSsl(ca ? readFileSync(ca) : null)
      : grpc.credentials.createInsecure();
    this.address = address;
    this.#deadlines = {...DEADLINES, ...deadlines};
    this.#token = token;
    this.#service = new AffectService(address, credentials, options);
  }

  #deadlines;
  #service;
  #token;

  /** What the server is, as proto3 JSON: models, limits, features. */
  info() {
    return new Promise((resolve, reject) => {
      const deadline = Date.now() + this.#deadlines.unary;
      this.#service.getServerInfo({}, this.#metadata(), {deadline}, (error, info) =>
        error ? reject(toError(error, this.address)) : resolve(info),
      );
    });
  }

  /**
   * A session: audio in, events out. It begins when its events are read.
   * @param {object} config SessionConfig as proto3 JSON
   * @param {object} [policy] see `Session`
   */
  session(config, policy) {
    return new Session(this, config, policy);
  }

  /** One call of StreamAffect; sessions make them, and show the cookies that their calls were given. */
  call(config, cookies = '') {
    const metadata = this.#metadata();
    if (cookies) metadata.set('cookie', cookies);
    return new Call(this.#service.streamAffect(metadata), config, this.address, this.#deadlines, cookies);
  }

  close() {
    this.#service.close();
  }

  #metadata() {
    const metadata = new grpc.Metadata();
    const token = typeof this.#token === 'function' ? this.#token() : this.#token;
    if (!token) return metadata;
    if (!/^[\x21-\x7e]{1,8192}$/.test(token)) {
      throw new AffectError('UNAUTHENTICATED', 'the token must be 1 to 8192 visible ASCII characters');
    }
    metadata.set('authorization', `Bearer ${token}`);
    return metadata;
  }
}

function isLoopback(address) {
  const host = address.replace(/:\d+$/, '').replace(/^\[(.*)\]$/, '$1');
  return host === 'localhost' || host === '::1' || /^127(\.\d{1,3}){3}$/.test(host);
}
