// What this package gives: a client, sessions that outlive their calls, and errors that say what is wrong.
export {AffectClient} from './client.mjs';
export {DEADLINES} from './deadlines.mjs';
export {AffectError} from './errors.mjs';
export {Session} from './session.mjs';
export {toJson} from './proto.mjs';
