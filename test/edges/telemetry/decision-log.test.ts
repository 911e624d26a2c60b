/** What `record` promises: true for what the sink has taken, false for what was dropped, lost or late. */
import { describe, expect, it } from 'vitest';
import type { WriteChunk } from '../../../src/edges/telemetry/bounded-writer.ts';
import { DecisionLog } from '../../../src/edges/telemetry/decision-log.ts';
import { DecisionMask } from '../../../src/edges/telemetry/decision-mask.ts';
import { createDecisionObserver } from '../../../src/edges/telemetry/decision-observer.ts';
import { DecisionCounts } from '../../../src/decision/counts.ts';
import type { Occasion } from '../../../src/decision/observer.ts';

const DENY = { effect: 'deny', reason: 'revoked' } as const;
const OCCASION: Occasion = {
  id: 'dec_1',
  source: 'check',
  startedMs: 0,
  asked: { subject: { type: 'user', id: 'a' } },
  asking: { headers: {}, socket: {} },
};

function open(
  sink: WriteChunk,
  over: { recordMs?: number; pendingBytesMax?: number; faulty?: boolean } = {},
) {
  const said: string[] = [];
  const note = (sentence: string): void => void said.push(sentence);
  const log = { info: note, warn: note, error: note };
  const { recordMs = 10_000, pendingBytesMax = 100_000, faulty = false } = over;
  const decisionLog = new DecisionLog({
    sink,
    sources: {
      labels: { id: 'inc_1', version: '1', replica: 'r', fleet: 'f' },
      entrypoint: 'writ/authz/decision',
      position: () => {
        if (faulty) throw new RangeError('faulty');
        return '1-1';
      },
      policyDigest: () => 'sha256:x',
      trace: () => undefined,
      wallMs: () => 0,
      monoMs: () => 1,
    },
    mask: new DecisionMask({ pointers: [], pseudonymKey: undefined }),
    log,
    recordMs,
    chunkLinesMax: 10,
    pendingBytesMax,
  });
  return { decisionLog, said, log };
}

const takes: WriteChunk = (_chunk, done) => done();
const loses: WriteChunk = (_chunk, done) => done(new Error('ENOSPC'));
const hangs: WriteChunk = () => undefined;

describe('recording a decision', () => {
  it('is done when the sink has taken its line', async () => {
    const { decisionLog } = open(takes);
    expect(await decisionLog.record(DENY, OCCASION)).toBe(true);
    expect(decisionLog.counts).toEqual({ written: 1, dropped: 0, pendingBytes: 0 });
  });

  it('has failed when the sink lost it, and when there was no room for it', async () => {
    expect(await open(loses).decisionLog.record(DENY, OCCASION)).toBe(false);
    const { decisionLog, said } = open(takes, { pendingBytesMax: 10 });
    expect(await decisionLog.record(DENY, OCCASION)).toBe(false);
    expect(decisionLog.counts.dropped).toBe(1);
    expect(said).toEqual(['lines of the decision log are being dropped']);
  });

  it('has failed when the sink is late', async () => {
    expect(await open(hangs, { recordMs: 10 }).decisionLog.record(DENY, OCCASION)).toBe(false);
  });
});

describe('lines of a batch', () => {
  const batch = (asked: object, bodyChars = 0): Occasion => ({
    ...OCCASION,
    source: 'evaluations',
    asked: asked as Occasion['asked'],
    bodyChars,
  });

  it('are written or counted when it closes, in the time that it has for that', async () => {
    const { decisionLog } = open((_chunk, done) => setImmediate(() => done()), {
      pendingBytesMax: 8_000_000,
    });
    const context = { t: 'eyJh.b.c', a: Array.from({ length: 10_000 }, () => []) };
    for (let i = 0; i < 1_000; i++) decisionLog.write(DENY, batch({ context }));
    const startedMs = performance.now();
    await decisionLog.drain(200);
    expect(performance.now() - startedMs).toBeLessThan(600);
    const { written, dropped, pendingBytes } = decisionLog.counts;
    expect({ all: written + dropped, pendingBytes }).toEqual({ all: 1_000, pendingBytes: 0 });
    expect(dropped).toBeGreaterThan(0);
  });

  it('wait for a sink that is slow when it closes, rather than being dropped', async () => {
    const slow: WriteChunk = (_chunk, done) => void setTimeout(done, 10);
    const { decisionLog } = open(slow, { pendingBytesMax: 300_000 });
    for (let i = 0; i < 1_000; i++) decisionLog.write(DENY, batch({}));
    await decisionLog.drain(5_000);
    expect(decisionLog.counts).toEqual({ written: 1_000, dropped: 0, pendingBytes: 0 });
  });

  it('hold no more of their bodies than is said: whoever brings more waits', async () => {
    const { decisionLog } = open(takes, { pendingBytesMax: 8_000_000 });
    for (let i = 0; i < 30; i++) decisionLog.write(DENY, batch({}, 1_000_000));
    // Of those, all but eight megabytes' worth were rendered in between.
    expect(decisionLog.counts.written).toBeGreaterThanOrEqual(22);
    await decisionLog.drain(1_000);
    expect(decisionLog.counts.written).toBe(30);
  });
});

describe('lines of sessions that a change has ended', () => {
  it('leave half of the queue to the lines that answers wait for', async () => {
    const { decisionLog } = open(hangs, { pendingBytesMax: 4_000, recordMs: 20 });
    const { id, startedMs, asked } = OCCASION;
    const review = {
      source: 'review',
      session: 's',
      cause: 'policy',
      credential: undefined,
      agent: undefined,
    } as const;
    for (let i = 0; i < 100; i++) {
      decisionLog.write(DENY, { id, startedMs, asked, ...review });
      await new Promise((resolve) => setImmediate(resolve));
    }
    const { pendingBytes, dropped } = decisionLog.counts;
    expect(pendingBytes).toBeGreaterThan(2_000);
    expect(pendingBytes).toBeLessThan(3_000);
    expect(dropped).toBeGreaterThan(80);
    decisionLog.write(DENY, OCCASION);
    await new Promise((resolve) => setImmediate(resolve));
    expect(decisionLog.counts.dropped).toBe(dropped);
  });
});

describe('a line that cannot be rendered', () => {
  it('is lost, and said; it takes nothing down with it', async () => {
    const { decisionLog, said } = open(takes);
    const cyclic: Record<string, unknown> = {};
    cyclic['self'] = cyclic;
    const occasion = { ...OCCASION, asked: cyclic as Occasion['asked'], path: 'a/b' };
    expect(await decisionLog.record(DENY, occasion)).toBe(false);
    expect(said).toContain('a decision could not be told of');
    expect(await decisionLog.record(DENY, OCCASION)).toBe(true);
  });
});

describe('an observer', () => {
  const observerOf = (over: { isRequired: boolean }) => {
    const counts = new DecisionCounts();
    const { decisionLog, said, log } = open(takes, { faulty: true });
    return {
      said,
      counts,
      observer: createDecisionObserver({ counts, decisionLog, trace: undefined, log, ...over }),
    };
  };

  it('lets no fault of the log become one of the answer', () => {
    const { observer, counts, said } = observerOf({ isRequired: false });
    observer.decided(DENY, OCCASION);
    expect(counts.durationS.count).toBe(1);
    expect(said).toEqual(['a decision could not be told of']);
    const { id, startedMs, asked } = OCCASION;
    const review = {
      source: 'review',
      session: 's',
      cause: 'time',
      credential: undefined,
      agent: undefined,
    } as const;
    observer.killed(DENY, { id, startedMs, asked, ...review });
    expect(said).toHaveLength(2);
    expect(counts.durationS.count).toBe(1);
    expect(observer.record).toBeUndefined();
  });

  it('takes a fault of the log for a line that is not written', async () => {
    const { observer, said } = observerOf({ isRequired: true });
    expect(await observer.record?.(DENY, OCCASION)).toBe(false);
    expect(said).toEqual(['a decision could not be told of']);
  });
});
