/** Whatever changes in whichever order: after a quiet moment nobody is live who would be denied, and nobody else was killed. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { FakeClock, settle } from '../support/fake-time.ts';
import { TestReplica, requestOf, tokenOf } from '../support/replica-harness.ts';

const LIFE_S = 3_600;
const SKEW_S = 5;
const RESOURCES = ['a', 'b', 'c'];
const SUBJECTS = ['x', 'y'];

const subject = fc.constantFrom(...SUBJECTS);
const resource = fc.constantFrom(...RESOURCES);
const step = fc.oneof(
  fc.record({ do: fc.constant('open' as const), subject, resource, forS: fc.integer({ min: 1, max: 6 }) }),
  fc.record({ do: fc.constant('policy' as const), allowed: fc.subarray(RESOURCES) }),
  fc.record({
    do: fc.constant('grant' as const),
    subject,
    resource,
    forS: fc.option(fc.integer({ min: 1, max: 5 })),
  }),
  fc.record({ do: fc.constant('ungrant' as const), subject }),
  fc.record({ do: fc.constant('refresh' as const), which: fc.nat(9), forS: fc.integer({ min: 1, max: 6 }) }),
  fc.record({
    do: fc.constantFrom('advance' as const, 'stand still' as const),
    ms: fc.constantFrom(250, 1_000, 1_500),
  }),
);
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

interface Truth {
  readonly id: string;
  readonly subject: string;
  readonly resource: string;
  endsMs: number;
}

/** Time as the strictest of both clocks has it: the wall clock may stand still. */
class World {
  readonly clock = new FakeClock();
  readonly replica = new TestReplica({ clock: this.clock });
  readonly truths: Truth[] = [];
  allowed: readonly string[] = RESOURCES;
  grants: { subject: string; resource: string; untilS: number }[] = [];
  #tokens = 0;

  async start(): Promise<void> {
    const { replica } = this;
    replica.grants.liveFor = (id, _issuer, _actor, nowS) => {
      const live = this.grants.filter((one) => one.subject === id && one.untilS > nowS);
      return {
        grants: live.map((one) => ({ resource: one.resource })),
        earliestEndS: Math.min(Infinity, ...live.map(({ untilS }) => untilS)),
      };
    };
    replica.policy.rule = (input) => {
      const { id } = input['resource'] as { id: string };
      const granted = input['grants'] as { resource: string }[];
      return this.allowed.includes(id) || granted.some((one) => one.resource === id);
    };
    await replica.start();
  }

  nowS(): number {
    return Math.floor(this.clock.now().wallMs / 1_000);
  }

  isAllowed({ subject: id, resource: what, endsMs }: Truth): boolean {
    const isGranted = this.grants.some(
      (one) => one.subject === id && one.resource === what && one.untilS > this.nowS(),
    );
    return this.clock.now().wallMs < endsMs && (this.allowed.includes(what) || isGranted);
  }

  async run(one: Step): Promise<void> {
    const { replica } = this;
    switch (one.do) {
      case 'open':
        return this.#open(one);
      case 'refresh':
        return this.#refresh(one);
      case 'policy':
        this.allowed = one.allowed;
        replica.reevaluator.policyChanged();
        return;
      case 'grant':
        this.grants.push({ ...one, untilS: one.forS === null ? Infinity : this.nowS() + one.forS });
        replica.reevaluator.subjectsChanged([one.subject]);
        return;
      case 'ungrant':
        this.grants = this.grants.filter((grant) => grant.subject !== one.subject);
        replica.reevaluator.subjectsChanged([one.subject]);
        return;
      case 'advance':
        return this.advance(one.ms);
      case 'stand still':
        this.clock.advanceMono(one.ms);
        return settle();
    }
  }

  async advance(ms: number): Promise<void> {
    for (let left = ms; left > 0; left -= 250) {
      this.clock.advance(250);
      await settle();
    }
  }

  tokenFor(id: string, forS: number): string {
    this.#tokens += 1;
    return tokenOf(id, `j${String(this.#tokens)}`, this.nowS() + forS - LIFE_S - SKEW_S);
  }

  async #open({ subject: holder, resource: what, forS }: Step & { do: 'open' }): Promise<void> {
    const request = requestOf(this.tokenFor(holder, forS), {
      subject: { type: 'service', id: holder },
      resource: { type: 'invoice', id: what },
    });
    const { id } = await this.replica.keeper.open({ kind: 'k', selfEnds: false, request });
    if (id === undefined) return;
    this.truths.push({ id, subject: holder, resource: what, endsMs: (this.nowS() + forS) * 1_000 });
  }

  async #refresh({ which, forS }: Step & { do: 'refresh' }): Promise<void> {
    const truth = this.truths[which];
    if (truth === undefined) return;
    const token = this.tokenFor(truth.subject, forS);
    try {
      const { taken } = await this.replica.keeper.refresh(truth.id, { scheme: 'Bearer', token });
      if (taken !== undefined) truth.endsMs = (taken.expiresAtS + SKEW_S) * 1_000;
    } catch {
      // Told to end, or not fresher: it stays as it was.
    }
  }
}

const isLive = ({ replica }: World, { id }: Truth): boolean => replica.keeper.find(id).kill === undefined;

describe('the live sessions of any history', () => {
  it('are those that would be allowed now, once everything is quiet', async () => {
    let live = 0;
    let killed = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 25 }), async (steps) => {
        const world = new World();
        await world.start();
        try {
          for (const one of steps) await world.run(one);
          await world.advance(500);
          expect(world.replica.reevaluator.isOwing).toBe(false);
          for (const truth of world.truths) {
            if (isLive(world, truth)) expect(world.isAllowed(truth)).toBe(true);
            if (isLive(world, truth)) live += 1;
            else killed += 1;
          }
        } finally {
          await world.replica.stop();
        }
      }),
      { numRuns: 60 },
    );
    // The property is not about nothing.
    expect(Math.min(live, killed)).toBeGreaterThan(10);
  });

  it('lose nobody who was allowed all the time', async () => {
    const open = fc.record({ do: fc.constant('open' as const), subject, resource, forS: fc.constant(100) });
    const change = fc.oneof(
      fc.record({ do: fc.constant('policy' as const), allowed: fc.constant(RESOURCES) }),
      fc.record({ do: fc.constant('grant' as const), subject, resource, forS: fc.constant(1) }),
      fc.record({ do: fc.constant('ungrant' as const), subject }),
      fc.record({ do: fc.constant('advance' as const), ms: fc.constantFrom(250, 1_000) }),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(fc.oneof(open, change), { maxLength: 25 }), async (steps) => {
        const world = new World();
        await world.start();
        try {
          for (const one of steps) await world.run(one);
          await world.advance(500);
          for (const truth of world.truths) expect(isLive(world, truth)).toBe(true);
        } finally {
          await world.replica.stop();
        }
      }),
      { numRuns: 30 },
    );
  });
});
