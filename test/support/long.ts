/** `npm run test:long` sets it: what is long by nature (a grid of shapes, random trials) is then tested in full. */
export const LONG = process.env.NOTICE_TEST_LONG === '1';

/** How much of something is tested: a part in `npm test`, all in `npm run test:long`. */
export function long<T>(part: T, all: T): T {
  return LONG ? all : part;
}
