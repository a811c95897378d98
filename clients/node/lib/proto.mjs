// The contract as grpc-js takes it, with messages as proto3 JSON has them.
import {fileURLToPath} from 'node:url';

import grpc from '@grpc/grpc-js';
import {loadSync} from '@grpc/proto-loader';
import protobuf from 'protobufjs';

const PROTOS = fileURLToPath(new URL('../../../protos', import.meta.url));

// protobufjs reads durations and times as {seconds, nanos}; proto3 JSON writes "1.250s" and RFC 3339. Its
// table of wrappers is one for the whole process.
protobuf.wrappers['.google.protobuf.Duration'] = {
  fromObject(given) {
    return this.fromObject(given);
  },
  toObject({seconds, nanos}) {
    const negative = String(seconds).startsWith('-') || nanos < 0;
    const whole = String(seconds).replace('-', '');
    return `${negative ? '-' : ''}${whole}${fraction(Math.abs(nanos))}s`;
  },
};
protobuf.wrappers['.google.protobuf.Timestamp'] = {
  fromObject(given) {
    return this.fromObject(given);
  },
  toObject({seconds, nanos}) {
    return `${new Date(Number(seconds) * 1000).toISOString().slice(0, 19)}${fraction(nanos)}Z`;
  },
};

const loaded = loadSync('affectstream/v1/affect.proto', {
  includeDirs: [PROTOS],
  longs: String, // a 64-bit integer does not fit a number
  enums: String, // one that this proto does not know stays the number it is
  bytes: String,
  json: true,
});

/** The service's methods, for `new AffectService(address, credentials)`. */
export const {AffectService} = grpc.loadPackageDefinition(loaded).affectstream.v1;

/** One event on one line of proto3 JSON. The resume token, a secret, is left out. */
export function toJson(event) {
  const {resumeToken, ...started} = event.sessionStarted ?? {};
  const shown = event.sessionStarted ? {...event, sessionStarted: started} : event;
  return JSON.stringify(shown, (_, value) => (typeof value === 'number' ? float32(value) : value));
}

// 0, 3, 6 or 9 digits, as every implementation of proto3 JSON writes them.
function fraction(nanos) {
  if (!nanos) return '';
  const digits = String(nanos).padStart(9, '0').replace(/(000){1,2}$/, '');
  return `.${digits}`;
}

// The shortest number that is the same float32: 0.3 where a double would be 0.30000001192092896.
function float32(value) {
  if (Number.isInteger(value) || Math.fround(value) !== value) return value;
  for (let digits = 1; digits < 9; digits++) {
    const short = Number(value.toPrecision(digits));
    if (Math.fround(short) === value) return short;
  }
  return value;
}
