/** How long to wait, in ms. While audio may still come there is no limit between events: silence brings none. */
export const DEADLINES = {
  start: 10_000, // until `sessionStarted`, connecting included
  idle: 30_000, // after the end of audio, from one event to the next
  unary: 10_000,
};
