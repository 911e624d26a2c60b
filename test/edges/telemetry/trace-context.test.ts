/** W3C Trace Context level 1: what is not exactly a traceparent starts no trace. */
import { describe, expect, it } from 'vitest';
import { parseTraceparent } from '../../../src/edges/telemetry/trace-context.ts';

const TRACE = '0af7651916cd43dd8448eb211c80319c';
const SPAN = 'b7ad6b7169203331';

describe('a traceparent', () => {
  it('is read', () => {
    expect(parseTraceparent(`00-${TRACE}-${SPAN}-01`)).toEqual({
      traceId: TRACE,
      spanId: SPAN,
      isSampled: true,
    });
    expect(parseTraceparent(`00-${TRACE}-${SPAN}-00`)?.isSampled).toBe(false);
    expect(parseTraceparent(`00-${TRACE}-${SPAN}-03`)?.isSampled).toBe(true);
  });

  it('of a later version is read as far as it is known', () => {
    expect(parseTraceparent(`cc-${TRACE}-${SPAN}-01-what-comes`)).toMatchObject({ traceId: TRACE });
    expect(parseTraceparent(`cc-${TRACE}-${SPAN}-01`)).toMatchObject({ traceId: TRACE });
  });

  it.each([
    ['is absent', undefined],
    ['is there twice', [`00-${TRACE}-${SPAN}-01`]],
    ['is empty', ''],
    ['is of the invalid version', `ff-${TRACE}-${SPAN}-01`],
    ['has a trace of zeros', `00-${'0'.repeat(32)}-${SPAN}-01`],
    ['has a span of zeros', `00-${TRACE}-${'0'.repeat(16)}-01`],
    ['has upper case', `00-${TRACE.toUpperCase()}-${SPAN}-01`],
    ['is too short', `00-${TRACE.slice(1)}-${SPAN}-01`],
    ['has more than version 00 has', `00-${TRACE}-${SPAN}-01-more`],
    ['runs on without a dash', `cc-${TRACE}-${SPAN}-01x`],
    ['has white space', ` 00-${TRACE}-${SPAN}-01`],
  ])('that %s is none', (_why, header) => {
    expect(parseTraceparent(header)).toBeUndefined();
  });
});
