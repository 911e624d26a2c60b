/** Whether the memory of a soak is flat, from samples of what was left after a collection. Pure. */

export interface Sample {
  /**
   * A step is revocations, then the first half of the evaluations, in which what the revocations still held is given
   * back (`settled`), then the other half.
   */
  readonly after: 'start' | 'revocations' | 'settled' | 'evaluations';
  /** So far. */
  readonly evaluations: number;
  readonly revocations: number;
  readonly sessions: number;
  /** Bytes, after a collection: V8's heap, buffers outside of it (shared memory is in `rss` only), the process. */
  readonly heap: number;
  readonly buffers: number;
  readonly rss: number;
}

export interface SoakVerdict {
  readonly isFlat: boolean;
  readonly says: readonly string[];
}

const BYTES_PER_EVALUATION_MAX = 2;
const BYTES_PER_REVOCATION_MAX = 4_096;
/** A Map that doubles does so in one of the thirds. */
const GROWTH_MAX = 1.25;

interface Growth {
  readonly bytes: number;
  readonly count: number;
}

/** `samples` are the start and then three a step. */
export function judge(samples: readonly Sample[]): SoakVerdict {
  const ends = samples.filter(({ after }) => after === 'start' || after === 'evaluations');
  const third = Math.floor((ends.length - 1) / 3);
  const revoked = ends.slice(1).map((end, i) => growth(ends[i]!, end, 'revocations'));
  const evaluated = samples.flatMap((sample, i) =>
    sample.after === 'evaluations' ? [growth(samples[i - 1]!, sample, 'evaluations')] : [],
  );
  const [first, last] = [each(revoked.slice(0, third)), each(revoked.slice(-third))];
  const evaluation = each(evaluated.slice(third));
  const isStill = evaluation < BYTES_PER_EVALUATION_MAX;
  const isBounded = last < BYTES_PER_REVOCATION_MAX && last <= first * GROWTH_MAX;
  return {
    isFlat: isStill && isBounded,
    says: [
      `an evaluation leaves ${evaluation.toFixed(2)} bytes (flat: less than ${BYTES_PER_EVALUATION_MAX}): ${isStill ? 'flat' : 'NOT FLAT'}`,
      `a revocation leaves ${first.toFixed(0)} bytes in the first third, ${last.toFixed(0)} in the last (bounded: less than ${BYTES_PER_REVOCATION_MAX}, and at most ${GROWTH_MAX} times the first): ${isBounded ? 'bounded' : 'NOT BOUNDED'}`,
    ],
  };
}

/** What the live set grew by between two samples, and how much of what was done there. */
function growth(before: Sample, after: Sample, kind: 'revocations' | 'evaluations'): Growth {
  return { bytes: liveOf(after) - liveOf(before), count: after[kind] - before[kind] };
}

function liveOf({ heap, buffers }: Sample): number {
  return heap + buffers;
}

function each(growths: readonly Growth[]): number {
  const bytes = growths.reduce((sum, one) => sum + one.bytes, 0);
  return bytes / growths.reduce((sum, one) => sum + one.count, 0);
}

const COLUMNS = ['after', 'evaluations', 'revocations', 'sessions', 'heap MB', 'buffers MB', 'RSS MB'];

export function renderSamples(samples: readonly Sample[]): string[] {
  const megabytes = (bytes: number): string => (bytes / 2 ** 20).toFixed(1);
  const rows = samples.map(({ after, evaluations, revocations, sessions, heap, buffers, rss }) => [
    after,
    ...[evaluations, revocations, sessions].map((count) => count.toLocaleString('en')),
    ...[heap, buffers, rss].map(megabytes),
  ]);
  return [COLUMNS, ...rows].map((row) =>
    row.map((cell, i) => (i === 0 ? cell.padEnd(14) : cell.padStart(13))).join(''),
  );
}
