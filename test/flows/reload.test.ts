import { describe, expect, it } from 'vitest';
import type { PolicyEngine } from '../../src/decision/policy-engine.ts';
import type { OpenedPolicy, PolicySource, RevisionFloor } from '../../src/decision/policy-source.ts';
import type { PollRule } from '../../src/flows/reload.ts';
import { Reloader } from '../../src/flows/reload.ts';
import { WritError } from '../../src/kernel/error.ts';
import type { LogFields } from '../../src/kernel/log.ts';
import { FakeClock, settle } from '../support/fake-time.ts';

/** What the source has: a bundle of that digest and revision, or what is wrong with it. */
interface Bundle {
  readonly digest: string;
  readonly revision?: string;
  readonly refused?: string;
  readonly remarks?: readonly string[];
}

const UNREACHABLE = new WritError('POLICY_UNREACHABLE', 'the bundle server answered 503');

function engineOf({ digest, revision }: Bundle): PolicyEngine {
  return {
    revision: {
      digest,
      entrypoints: [],
      isPure: true,
      readsNow: false,
      ...(revision === undefined ? {} : { revision }),
    },
    hasEntrypoint: () => false,
    decide: () => ({ kind: 'answer', allow: true }),
    evaluate: () => ({ kind: 'undefined' }),
  };
}

class Bench {
  readonly clock = new FakeClock();
  readonly log: { sentence: string; fields: LogFields | undefined }[] = [];
  /** What the source has; an error is what it throws; undefined: nothing new. */
  has: Bundle | Error | undefined = { digest: 'one' };
  kept: Bundle | Error | undefined;
  fetches = 0;
  opens = 0;
  readonly settled: boolean[] = [];
  keepFails: Error | undefined;
  /** In order: what was done to files. */
  readonly steps: string[] = [];
  onOpen: () => Promise<void> | void = () => undefined;
  readonly moves: (string | undefined)[] = [];
  floor: string | undefined;
  floorFails = false;
  poll: PollRule | undefined;
  randomByte = 128;

  open(): Promise<Reloader> {
    const note = (sentence: string, fields?: LogFields) => void this.log.push({ sentence, fields });
    return Reloader.open({
      source: this.#source(),
      openPolicy: async ({ file, unlessDigest }): Promise<OpenedPolicy> => {
        this.opens += 1;
        await this.onOpen();
        const bundle = JSON.parse(file) as Bundle;
        if (bundle.digest === unlessDigest) return { state: 'unchanged' };
        if (bundle.refused === undefined)
          return { state: 'opened', engine: engineOf(bundle), remarks: bundle.remarks ?? [] };
        return { state: 'refused', detail: bundle.refused, digest: bundle.digest };
      },
      floor: this.#floor(),
      poll: this.poll,
      clock: this.clock,
      timer: this.clock,
      random: { bytes: () => Uint8Array.of(this.randomByte) },
      log: { info: note, warn: note, error: note },
    });
  }

  #source(): PolicySource {
    const fetched = (has: Bundle | Error | undefined) => {
      if (has instanceof Error) throw has;
      if (has === undefined) return undefined;
      const keep = async () => {
        if (this.keepFails !== undefined) throw this.keepFails;
        this.steps.push(`keep ${has.digest}`);
      };
      const settle = async (isKept: boolean) => void this.settled.push(isKept);
      return { file: JSON.stringify(has), keep, settle };
    };
    return {
      name: 'memory',
      fetch: async () => {
        this.fetches += 1;
        return fetched(this.has);
      },
      lookupKept: async () => fetched(this.kept),
    };
  }

  #floor(): RevisionFloor {
    const revision = () => this.floor;
    return {
      get revision() {
        return revision();
      },
      move: async (next) => {
        if (this.floorFails) throw new WritError('INTERNAL', 'policy-floor cannot be written (ENOSPC)');
        this.moves.push(next);
        this.steps.push(`floor ${next}`);
        this.floor = next;
      },
    };
  }
}

describe('a reload', () => {
  it('swaps to what the source has, and tells those who listen after it', async () => {
    const bench = new Bench();
    const reloader = await bench.open();
    const heard: string[] = [];
    reloader.policy.onSwap(() => heard.push(reloader.policy.revision.digest));
    bench.clock.advance(5_000);
    bench.has = { digest: 'two' };
    expect(await reloader.reload()).toEqual({ state: 'loaded' });
    expect(reloader.policy.revision.digest).toBe('two');
    expect(heard).toEqual(['two']);
    expect(reloader.sinceMs).toBe(bench.clock.now().wallMs);
    expect(reloader.sourceName).toBe('memory');
    expect(reloader.counts).toEqual({ loaded: 1, refused: 0 });
    expect(bench.settled).toEqual([true, true]);
    expect(bench.log).toEqual([{ sentence: 'another policy runs', fields: { digest: 'two' } }]);
  });

  it('swaps nothing when it is the bundle that runs, or the source says that nothing is new', async () => {
    const bench = new Bench();
    const reloader = await bench.open();
    expect(await reloader.reload()).toEqual({ state: 'unchanged' });
    bench.has = undefined;
    expect(await reloader.reload()).toEqual({ state: 'unchanged' });
    expect(reloader.policy.generation).toBe(0);
    expect(bench.log).toEqual([]);
  });

  it('says so, once, when what was refused is gone and what runs is there again', async () => {
    const bench = new Bench();
    const reloader = await bench.open();
    bench.has = { digest: 'two', refused: 'broken' };
    await reloader.reload();
    bench.has = { digest: 'one' };
    await reloader.reload();
    await reloader.reload();
    expect(reloader.lastFailure).toBeUndefined();
    expect(bench.log.map(({ sentence }) => sentence)).toEqual([
      'a policy bundle was refused; the one that runs goes on',
      'the source has the policy that runs; nothing is refused any more',
    ]);
  });

  it('keeps the one that runs when the bundle is refused, and says so once', async () => {
    const bench = new Bench();
    const reloader = await bench.open();
    bench.has = { digest: 'bad', refused: 'the bundle is truncated' };
    const refusal = { code: 'POLICY_INVALID', detail: 'the bundle is truncated', digest: 'bad' };
    expect(await reloader.reload()).toEqual({ state: 'refused', ...refusal });
    expect(reloader.policy.revision.digest).toBe('one');
    expect(reloader.policy.generation).toBe(0);
    bench.clock.advance(1_000);
    await reloader.reload();
    expect(reloader.lastFailure).toEqual({ ...refusal, atMs: bench.clock.now().wallMs });
    expect(reloader.counts).toEqual({ loaded: 0, refused: 2 });
    expect(bench.log).toEqual([
      { sentence: 'a policy bundle was refused; the one that runs goes on', fields: refusal },
    ]);
    expect(bench.settled).toEqual([true, false, false]);
    bench.has = { digest: 'worse', refused: 'the bundle is truncated' };
    await reloader.reload();
    expect(bench.log).toHaveLength(2);
  });

  it('keeps the one that runs when the source does not answer, whatever it throws', async () => {
    const bench = new Bench();
    const reloader = await bench.open();
    bench.has = UNREACHABLE;
    expect(await reloader.reload()).toEqual({
      state: 'refused',
      code: 'POLICY_UNREACHABLE',
      detail: UNREACHABLE.message,
    });
    bench.has = new TypeError('secret');
    expect(await reloader.reload()).toEqual({
      state: 'refused',
      code: 'INTERNAL',
      detail: 'something unforeseen happened',
    });
    expect(reloader.policy.revision.digest).toBe('one');
  });

  it('forgets a refusal when something else runs, or the source has the running one again', async () => {
    const bench = new Bench();
    const reloader = await bench.open();
    const bad = { digest: 'bad', refused: 'broken' };
    for (const next of [{ digest: 'one' }, { digest: 'two' }]) {
      bench.has = bad;
      await reloader.reload();
      expect(reloader.lastFailure).toBeDefined();
      bench.has = next;
      await reloader.reload();
      expect(reloader.lastFailure).toBeUndefined();
    }
  });

  it('runs one at a time, and once more for all who asked meanwhile', async () => {
    const bench = new Bench();
    const reloader = await bench.open();
    const gates = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    const opensBefore = bench.opens;
    bench.onOpen = () => gates[bench.opens - opensBefore - 1]?.promise;
    bench.has = { digest: 'two' };
    const first = reloader.reload();
    await settle();
    bench.has = { digest: 'three' };
    const later = [reloader.reload(), reloader.reload(), reloader.reload()];
    await settle();
    expect(bench.opens - opensBefore).toBe(1);
    gates[0]?.resolve();
    expect(await first).toEqual({ state: 'loaded' });
    expect(reloader.policy.revision.digest).toBe('two');
    gates[1]?.resolve();
    expect(await Promise.all(later)).toEqual(later.map(() => ({ state: 'loaded' })));
    expect(bench.opens - opensBefore).toBe(2);
    expect(reloader.policy.revision.digest).toBe('three');
    await reloader.close();
  });

  it('says what makes the new one slower than it could be', async () => {
    const bench = new Bench();
    bench.has = { digest: 'one', remarks: ['it matches patterns'] };
    await bench.open();
    expect(bench.log).toEqual([
      {
        sentence: 'the policy is slower than it could be',
        fields: { digest: 'one', detail: 'it matches patterns' },
      },
    ]);
  });

  it('is waited for by who closes, is no news any more, and is the last one', async () => {
    const bench = new Bench();
    const reloader = await bench.open();
    const gate = Promise.withResolvers<void>();
    bench.onOpen = () => gate.promise;
    bench.has = { digest: 'two', refused: 'this process is closing' };
    const last = reloader.reload();
    const later = reloader.reload();
    let isClosed = false;
    const closed = reloader.close().then(() => (isClosed = true));
    await settle();
    expect(isClosed).toBe(false);
    gate.resolve();
    await closed;
    expect(await last).toMatchObject({ state: 'refused' });
    expect(await later).toEqual({ state: 'unchanged' });
    expect(await reloader.reload()).toEqual({ state: 'unchanged' });
    expect(bench.fetches).toBe(2);
    expect(bench.log).toEqual([]);
    expect(reloader.lastFailure).toBeUndefined();
  });

  it('goes on when the bundle cannot be kept for the next start', async () => {
    const bench = new Bench();
    const reloader = await bench.open();
    bench.has = { digest: 'two' };
    bench.keepFails = new WritError('INTERNAL', 'disk full');
    expect(await reloader.reload()).toEqual({ state: 'loaded' });
    expect(bench.log[0]).toEqual({
      sentence: 'the policy bundle could not be kept for the next start',
      fields: { code: 'INTERNAL' },
    });
    expect(bench.settled).toEqual([true, false]);
  });
});

describe('the floor', () => {
  it('refuses what is older than what ran last, and moves before the bundle runs', async () => {
    const bench = new Bench();
    bench.has = { digest: 'one', revision: '9' };
    const reloader = await bench.open();
    bench.has = { digest: 'two', revision: '10' };
    await reloader.reload();
    expect(bench.moves).toEqual(['9', '10']);
    // After a crash in between, what was kept is one that the floor lets start.
    expect(bench.steps).toEqual(['keep one', 'floor 9', 'keep two', 'floor 10']);
    bench.has = { digest: 'three', revision: '9' };
    expect(await reloader.reload()).toEqual({
      state: 'refused',
      code: 'POLICY_INVALID',
      detail:
        'the bundle is older than the one that ran last: revision "9" after 10; --allow-older lets it run',
      digest: 'three',
    });
    expect(reloader.policy.revision.digest).toBe('two');
    expect(bench.moves).toEqual(['9', '10']);
  });

  it('takes an older one, or one without a revision, on an operator’s word', async () => {
    const bench = new Bench();
    bench.has = { digest: 'one', revision: '9' };
    const reloader = await bench.open();
    bench.has = { digest: 'two', revision: '8' };
    expect(await reloader.reload({ allowOlder: true })).toEqual({ state: 'loaded' });
    bench.has = { digest: 'three' };
    expect(await reloader.reload()).toMatchObject({ state: 'refused' });
    expect(await reloader.reload({ allowOlder: true })).toEqual({ state: 'loaded' });
    expect(bench.moves).toEqual(['9', '8', undefined]);
    expect(bench.log.filter(({ sentence }) => sentence.startsWith('an operator lets'))).toEqual([
      {
        sentence: 'an operator lets a policy run that would be refused',
        fields: {
          digest: 'two',
          detail: 'the bundle is older than the one that ran last: revision "8" after 9',
        },
      },
      {
        sentence: 'an operator lets a policy run that would be refused',
        fields: { digest: 'three', detail: 'the bundle has no revision, and the one that ran last had 8' },
      },
    ]);
  });

  it('is not moved by a revision that has no order', async () => {
    const bench = new Bench();
    bench.has = { digest: 'one', revision: 'main@4f2a' };
    await bench.open();
    expect(bench.moves).toEqual([]);
  });

  it('lets nothing run that it could not note', async () => {
    const bench = new Bench();
    const reloader = await bench.open();
    bench.floorFails = true;
    bench.has = { digest: 'two', revision: '2' };
    expect(await reloader.reload()).toMatchObject({ state: 'refused', code: 'INTERNAL' });
    expect(reloader.policy.revision.digest).toBe('one');
  });

  it('keeps an operator’s word for the reload that was asked for, also when it had to wait', async () => {
    const bench = new Bench();
    bench.has = { digest: 'one', revision: '9' };
    const reloader = await bench.open();
    const gate = Promise.withResolvers<void>();
    bench.onOpen = () => gate.promise;
    const first = reloader.reload();
    bench.has = { digest: 'two', revision: '8' };
    const [plain, worded] = [reloader.reload(), reloader.reload({ allowOlder: true })];
    gate.resolve();
    await first;
    expect(await plain).toEqual({ state: 'loaded' });
    expect(await worded).toEqual({ state: 'loaded' });
    bench.has = { digest: 'three', revision: '7' };
    expect(await reloader.reload()).toMatchObject({ state: 'refused' });
  });
});

describe('the start', () => {
  it('takes what was kept when the source does not answer or has a bad bundle, and says so', async () => {
    for (const has of [UNREACHABLE, { digest: 'bad', refused: 'broken' }]) {
      const bench = new Bench();
      bench.has = has;
      bench.kept = { digest: 'kept' };
      const reloader = await bench.open();
      expect(reloader.policy.revision.digest).toBe('kept');
      expect(reloader.lastFailure?.detail).toBe(has instanceof Error ? has.message : 'broken');
      expect(bench.log).toHaveLength(1);
    }
  });

  it('is refused with the source’s own reason when nothing that was kept can run', async () => {
    for (const kept of [undefined, new Error('disk'), { digest: 'bad', refused: 'also broken' }]) {
      const bench = new Bench();
      bench.has = UNREACHABLE;
      bench.kept = kept;
      await expect(bench.open()).rejects.toMatchObject({
        code: UNREACHABLE.code,
        message: UNREACHABLE.message,
      });
    }
  });

  it('needs a bundle', async () => {
    const bench = new Bench();
    bench.has = undefined;
    await expect(bench.open()).rejects.toMatchObject({ code: 'POLICY_UNREACHABLE' });
  });

  it('keeps to the floor: what ran before a restart is not replaced by something older', async () => {
    const bench = new Bench();
    bench.floor = '2026-11-24T10:00:00Z';
    bench.has = { digest: 'one', revision: '2026-11-23T10:00:00Z' };
    await expect(bench.open()).rejects.toMatchObject({ code: 'POLICY_INVALID' });
    bench.has = { digest: 'one', revision: '2026-11-24T12:00:00+02:00' };
    expect((await bench.open()).policy.revision.digest).toBe('one');
  });
});

describe('polling', () => {
  const poll = { minMs: 60_000, maxMs: 120_000 };

  async function polled(bench: Bench): Promise<{ reloader: Reloader; stop: () => Promise<void> }> {
    bench.poll = poll;
    const reloader = await bench.open();
    const stopping = new AbortController();
    const running = reloader.run(stopping.signal);
    await settle();
    return { reloader, stop: () => (stopping.abort(), running) };
  }

  async function pass(bench: Bench, ms: number): Promise<void> {
    bench.clock.advance(ms);
    await settle();
  }

  it('does nothing without a rule', async () => {
    const bench = new Bench();
    const reloader = await bench.open();
    await reloader.run(new AbortController().signal);
    expect(bench.fetches).toBe(1);
  });

  it('asks at a random moment within the rule, and loads what is new', async () => {
    const bench = new Bench();
    const { reloader, stop } = await polled(bench);
    bench.has = { digest: 'two' };
    await pass(bench, 89_999);
    expect(bench.fetches).toBe(1);
    await pass(bench, 1);
    expect(bench.fetches).toBe(2);
    expect(reloader.policy.revision.digest).toBe('two');
    await stop();
  });

  it('asks sooner after no answer, then less and less often, and as ever after one', async () => {
    const bench = new Bench();
    bench.kept = { digest: 'kept' };
    bench.has = UNREACHABLE;
    bench.randomByte = 0;
    const { stop } = await polled(bench);
    for (const pauseMs of [500, 1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000]) {
      const before = bench.fetches;
      await pass(bench, pauseMs - 1);
      expect(bench.fetches).toBe(before);
      await pass(bench, 1);
      expect(bench.fetches).toBe(before + 1);
    }
    bench.has = { digest: 'two', refused: 'broken' };
    await pass(bench, 60_000);
    const before = bench.fetches;
    await pass(bench, 59_999);
    expect(bench.fetches).toBe(before);
    await pass(bench, 1);
    expect(bench.fetches).toBe(before + 1);
    await stop();
  });

  it('ends when it is told to', async () => {
    const bench = new Bench();
    const { stop } = await polled(bench);
    await stop();
    await pass(bench, 1_000_000);
    expect(bench.fetches).toBe(1);
    expect(bench.clock.sleeping).toBe(0);
  });
});
