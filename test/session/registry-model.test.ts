/** The registry against a model that forgets nothing: whatever happens in whichever order, no tally may lie. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { SessionRegistry } from '../../src/session/registry.ts';
import type { SessionRef } from '../../src/session/session.ts';
import { FakeClock } from '../support/fake-time.ts';
import { dead, killNow, MemorySessions, printsOf, recordOf } from './sessions.ts';

/** What really is the case with one session, kept by the test. */
interface Truth {
  readonly selfEnds: boolean;
  readonly jtis: readonly string[];
  /** Whether its credential ended long ago: then silence is an end of the waiting. */
  readonly isOld: boolean;
  readonly claims: Set<string>;
  leaseEndsMs: number;
  toldMs: number | undefined;
  state: 'open' | 'dead' | 'let go';
}

const JTIS = ['x', 'y', 'z'];
const CLAIMS = ['rev_1', 'rev_2', 'rev_3'];
const which = fc.nat(9);
const step = fc.oneof(
  fc.record({
    do: fc.constant('open' as const),
    jtis: fc.uniqueArray(fc.constantFrom(...JTIS), { minLength: 1 }),
    selfEnds: fc.boolean(),
    isOld: fc.boolean(),
  }),
  fc.record({
    do: fc.constant('kill' as const),
    claim: fc.constantFrom(...CLAIMS),
    jti: fc.constantFrom(...JTIS),
  }),
  fc.record({ do: fc.constantFrom('end' as const, 'ping' as const, 'expire' as const), which }),
  fc.record({ do: fc.constant('advance' as const), ms: fc.constantFrom(1, 700, 1500, 2000, 60_000) }),
);
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

class World {
  readonly clock = new FakeClock();
  readonly sessions = new SessionRegistry(new MemorySessions(), 3_000);
  readonly truths: Truth[] = [];

  run(one: Step): void {
    if (one.do === 'open') this.#open(one);
    else if (one.do === 'kill') this.#kill(one.claim, one.jti);
    else if (one.do === 'advance') this.clock.advance(one.ms);
    else {
      const truth = this.truths[one.which];
      if (truth?.state === 'open') this[one.do](truth, refOf(one.which));
    }
    this.#settle();
  }

  end(truth: Truth, ref: SessionRef): void {
    expect(this.sessions.end(ref)).toBe(true);
    truth.state = 'dead';
  }

  /** As the flow answers a ping: nothing more for one that was killed. */
  ping(truth: Truth, ref: SessionRef): void {
    expect(this.sessions.lookup(ref)?.kill === undefined).toBe(truth.toldMs === undefined);
    if (truth.toldMs !== undefined) return;
    const { monoMs } = this.clock.now();
    this.sessions.extend(ref, monoMs, 1500);
    truth.leaseEndsMs = Math.max(truth.leaseEndsMs, monoMs + 1500);
  }

  expire(truth: Truth, ref: SessionRef): void {
    const now = this.clock.now();
    this.sessions.killWhere((one) => one.ref === ref, { reason: 'expired', position: '1-1' }, now);
    truth.toldMs ??= now.monoMs;
  }

  #open({ jtis, selfEnds, isOld }: Step & { do: 'open' }): void {
    const leaseEndsMs = this.clock.now().monoMs + 1000;
    const expiresAtS = isOld ? 1 : undefined;
    const record = recordOf(String(this.truths.length), { handles: printsOf(...jtis), selfEnds, expiresAtS });
    this.sessions.register(record, leaseEndsMs);
    const claims = new Set<string>();
    this.truths.push({ selfEnds, jtis, isOld, claims, leaseEndsMs, toldMs: undefined, state: 'open' });
  }

  #kill(claim: string, jti: string): void {
    const now = this.clock.now();
    for (const truth of this.truths) {
      if (truth.state !== 'open' || !truth.jtis.includes(jti)) continue;
      truth.claims.add(claim);
      truth.toldMs ??= now.monoMs;
    }
    killNow(this.sessions, claim, [dead(jti)], { at: now });
  }

  /** What passing time alone has proven, or has ended the waiting for. */
  #settle(): void {
    const { monoMs } = this.clock.now();
    this.sessions.sweep(this.clock.now());
    for (const truth of this.truths) {
      if (truth.state !== 'open' || truth.toldMs === undefined) continue;
      if (truth.selfEnds && truth.leaseEndsMs <= monoMs) truth.state = 'dead';
      else if (!truth.selfEnds && truth.isOld && monoMs - truth.toldMs >= 2000) truth.state = 'let go';
    }
  }
}

function refOf(which: number): SessionRef {
  return recordOf(String(which)).ref;
}

describe('the tallies of any history', () => {
  it('add up, lose nobody, count nobody twice, and call nobody dead without proof', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const world = new World();
        for (const one of steps) {
          world.run(one);
          expectHonest(world);
        }
      }),
      { numRuns: 300 },
    );
  });
});

function expectHonest({ clock, sessions, truths }: World): void {
  const { monoMs } = clock.now();
  expect(sessions.size).toBe(truths.filter(({ state }) => state === 'open').length);
  for (const claim of CLAIMS) {
    const counted = truths.filter(({ claims }) => claims.has(claim));
    const open = counted.filter(({ state }) => state === 'open');
    const late = open.filter(({ selfEnds, toldMs = Infinity }) => !selfEnds && monoMs - toldMs >= 2000);
    const letGo = counted.filter(({ state }) => state === 'let go');
    const { silent, ...tally } = sessions.tally(claim, clock.now());
    expect(tally).toEqual({
      matched: counted.length,
      killed: counted.length - open.length - letGo.length,
      pending: open.length - late.length,
      selfEnding: open.filter(({ selfEnds }) => selfEnds).length,
      unconfirmed: late.length + letGo.length,
    });
    expect(silent).toHaveLength(late.length);
  }
}
