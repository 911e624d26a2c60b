import { describe, expect, it } from 'vitest';
import { REFRESH_RULES, RefreshedKeys } from '../../../src/edges/idp/refreshed-keys.ts';
import { WritError } from '../../../src/kernel/error.ts';
import type { Log, LogFields } from '../../../src/kernel/log.ts';
import type { TestKey } from '../../support/tokens.ts';
import { ISSUER, issuerOf, keyFor, makeKey, mintToken, outcomeOf, verifierOf } from '../../support/tokens.ts';

const ec = keyFor('ES256');
const next = makeKey('ES256', 'next');
const { refreshMs, coolDownMs, retryMs, staleMs } = REFRESH_RULES;

/** An issuer whose answers a test chooses, with a clock and a log of its own. */
class Bench {
  monoMs = 0;
  wallMs = 1_800_000_000_000;
  loads = 0;
  readonly lines: (LogFields | undefined)[] = [];
  answer: () => Promise<string> = () => Promise.resolve('');
  readonly keys: RefreshedKeys;

  constructor(...published: TestKey[]) {
    this.publish(...published);
    const log: Log = {
      info: () => undefined,
      warn: (_, fields) => this.lines.push(fields),
      error: () => undefined,
    };
    const clock = { now: () => ({ monoMs: this.monoMs, wallMs: this.wallMs }) };
    const load = (): Promise<string> => {
      this.loads += 1;
      return this.answer();
    };
    this.keys = new RefreshedKeys(load, { issuer: ISSUER, use: 'sig', clock, log });
  }

  publish(...published: TestKey[]): void {
    this.answer = () => Promise.resolve(JSON.stringify({ keys: published.map((key) => key.jwk) }));
  }

  fail(error = new Error('down')): void {
    this.answer = () => Promise.reject(error);
  }

  pass(ms: number): void {
    this.monoMs += ms;
    this.wallMs += ms;
  }

  /** A use, and whatever it started in the background. */
  async use(kid: string): Promise<string> {
    const { state } = this.keys.lookup(kid, 'ES256');
    await settle();
    return state;
  }
}

/** Lets a chain of settled promises run to its end. */
async function settle(): Promise<void> {
  for (let i = 0; i < 10; i++) await Promise.resolve();
}

describe('keys that are fetched again', () => {
  it('are unavailable until the first fetch, which a look-up does not start', async () => {
    const bench = new Bench(ec);
    expect(await bench.use(ec.kid)).toBe('unavailable');
    expect([bench.loads, bench.keys.isAvailable(), bench.keys.generation()]).toEqual([0, false, -1]);
    await bench.keys.refresh();
    expect(await bench.use(ec.kid)).toBe('found');
    expect([bench.loads, bench.keys.isAvailable(), bench.keys.generation()]).toEqual([1, true, 1]);
  });

  it('are fetched by one attempt that all who ask meanwhile share', async () => {
    const bench = new Bench(ec);
    await Promise.all(Array.from({ length: 100 }, () => bench.keys.refresh()));
    expect(bench.loads).toBe(1);
  });

  it('are not fetched again within the cool-down, and then once', async () => {
    const bench = new Bench(ec);
    await bench.keys.refresh();
    bench.publish(ec, next);
    bench.pass(coolDownMs - 1);
    await bench.keys.refresh();
    expect([bench.loads, await bench.use('next')]).toEqual([1, 'unknown']);
    bench.pass(1);
    await Promise.all([bench.keys.refresh(), bench.keys.refresh()]);
    expect([bench.loads, await bench.use('next')]).toEqual([2, 'found']);
  });

  it('are fetched in the background when a use finds them old; that use does not wait', async () => {
    const bench = new Bench(ec);
    await bench.keys.refresh();
    bench.publish(next);
    bench.pass(refreshMs - 1);
    expect([await bench.use(ec.kid), bench.loads]).toEqual(['found', 1]);
    bench.pass(1);
    // Found once more, by the use that starts the fetch.
    expect([await bench.use(ec.kid), bench.loads]).toEqual(['found', 2]);
    expect([await bench.use(ec.kid), await bench.use('next'), bench.loads]).toEqual(['unknown', 'found', 2]);
  });

  it('have a new generation exactly when the set is another', async () => {
    const bench = new Bench(ec, next);
    await bench.keys.refresh();
    expect(bench.keys.generation()).toBe(1);
    bench.publish(next, ec);
    bench.pass(coolDownMs);
    await bench.keys.refresh();
    expect(bench.keys.generation()).toBe(1);
    bench.publish(ec);
    bench.pass(coolDownMs);
    await bench.keys.refresh();
    expect(bench.keys.generation()).toBe(2);
  });
});

describe('keys that cannot be fetched', () => {
  it('are tried again soon at first, then ever more seldom', async () => {
    const bench = new Bench();
    bench.fail();
    const pauses: number[] = [];
    await bench.keys.refresh();
    for (let i = 0; i < 7; i++) {
      const before = bench.loads;
      let waitedMs = 0;
      while (bench.loads === before) {
        bench.pass(250);
        waitedMs += 250;
        await bench.keys.refresh();
      }
      pauses.push(waitedMs);
    }
    expect(pauses).toEqual([1, 2, 4, 8, 16, 30, 30].map((times) => Math.min(times * retryMs, coolDownMs)));
  });

  it('stay as they were for a day, and are not believed after that', async () => {
    const bench = new Bench(ec);
    await bench.keys.refresh();
    bench.fail();
    bench.pass(staleMs - 1);
    expect(await bench.use(ec.kid)).toBe('found');
    expect([bench.loads, bench.keys.generation(), bench.lines.length]).toEqual([2, 1, 1]);
    bench.pass(1);
    expect(await bench.use(ec.kid)).toBe('unavailable');
    expect([bench.keys.isAvailable(), bench.keys.generation()]).toEqual([false, -1]);
  });

  it('are old by whichever clock says so, so that a suspend does not keep them young', async () => {
    const bench = new Bench(ec);
    await bench.keys.refresh();
    bench.fail();
    bench.wallMs += staleMs;
    expect(await bench.use(ec.kid)).toBe('unavailable');
  });

  it('make tokens refused that were accepted, and accepted again when they are back', async () => {
    const bench = new Bench(ec);
    await bench.keys.refresh();
    const verifier = verifierOf([issuerOf({ keys: bench.keys })]);
    const token = mintToken();
    expect(await outcomeOf(verifier, token)).toBe('ok');
    bench.fail();
    bench.pass(staleMs);
    expect(await outcomeOf(verifier, token)).toBe('keys_unavailable');
    bench.publish(ec);
    bench.pass(coolDownMs);
    expect(await outcomeOf(verifier, token)).toBe('ok');
  });

  const refused = Object.assign(new Error('connect ECONNREFUSED 10.0.0.1:443'), { code: 'ECONNREFUSED' });
  it.each<[string, unknown, Record<string, string>]>([
    ['a failure of the network', new TypeError('fetch failed'), { code: 'INTERNAL', detail: 'TypeError' }],
    [
      'a failure of the system',
      new TypeError('fetch failed', { cause: refused }),
      { code: 'INTERNAL', detail: 'ECONNREFUSED' },
    ],
    ['a failure of ours', new WritError('KEY_INVALID', 'the key set is too large'), { code: 'KEY_INVALID' }],
    [
      'a failure of ours with a cause',
      new WritError('KEY_INVALID', 'the file cannot be read', { cause: refused }),
      { code: 'KEY_INVALID', detail: 'ECONNREFUSED' },
    ],
    ['something that is no error', 'what', { code: 'INTERNAL' }],
  ])('are reported by code, not by message: %s', async (_, error, words) => {
    const bench = new Bench();
    bench.fail(error as Error);
    await bench.keys.refresh();
    expect(bench.lines).toEqual([{ issuer: ISSUER, ...words, count: 1 }]);
  });

  it('stay as they were when what comes is no key set, or one that leaves a choice', async () => {
    const bench = new Bench(ec);
    await bench.keys.refresh();
    const twin = makeKey('ES256', ec.kid).jwk;
    for (const text of ['<html>', '{}', JSON.stringify({ keys: [ec.jwk, twin] })]) {
      bench.answer = () => Promise.resolve(text);
      bench.pass(coolDownMs);
      await bench.keys.refresh();
      expect(await bench.use(ec.kid)).toBe('found');
    }
    expect(bench.lines).toHaveLength(3);
    bench.publish();
    bench.pass(coolDownMs);
    await bench.keys.refresh();
    expect(await bench.use(ec.kid)).toBe('unknown');
  });
});

describe('a key that its issuer withdraws', () => {
  it('takes its tokens with it at the next fetch, which their own use starts', async () => {
    const bench = new Bench(ec);
    await bench.keys.refresh();
    const verifier = verifierOf([issuerOf({ keys: bench.keys })]);
    const token = mintToken();
    expect(await outcomeOf(verifier, token)).toBe('ok');
    bench.publish(next);
    bench.pass(refreshMs);
    expect(await outcomeOf(verifier, token)).toBe('ok');
    await settle();
    expect(await outcomeOf(verifier, token)).toBe('key_unknown');
    expect(bench.loads).toBe(2);
  });
});
