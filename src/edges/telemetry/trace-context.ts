/**
 * W3C Trace Context as it arrives (traceparent, level 1): read by its rules, so that a caller's trace goes on through
 * Writ, and never taken from what does not parse. Called for each traced request and each line of the decision log.
 */

export interface TraceIds {
  /** 32 lower-case hex digits. */
  readonly traceId: string;
  /** 16 lower-case hex digits. */
  readonly spanId: string;
}

export interface RemoteTrace extends TraceIds {
  readonly isSampled: boolean;
}

const TRACEPARENT = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/;
const NO_TRACE = '0'.repeat(32);
const NO_SPAN = '0'.repeat(16);

/**
 * Lower-case hex; all-zero ids are none; version ff is invalid, 00 has exactly four fields, of a later one the first four
 * are read. Undefined: the trace starts here.
 */
export function parseTraceparent(header: string | string[] | undefined): RemoteTrace | undefined {
  if (typeof header !== 'string') return undefined;
  const [, version = 'ff', traceId = NO_TRACE, spanId = NO_SPAN, flags = '00', more] =
    TRACEPARENT.exec(header) ?? [];
  if (version === 'ff' || traceId === NO_TRACE || spanId === NO_SPAN) return undefined;
  if (version === '00' && more !== undefined) return undefined;
  return { traceId, spanId, isSampled: (Number.parseInt(flags, 16) & 1) === 1 };
}

/** Version 00, for whom we ask in turn. */
export function renderTraceparent({ traceId, spanId, isSampled }: RemoteTrace): string {
  return `00-${traceId}-${spanId}-${isSampled ? '01' : '00'}`;
}
