/** Found by attack: what one caller could send that cost everyone memory, or the turn in which they are answered. */
import { describe, expect, it } from 'vitest';
import type { Fingerprinter } from '../../src/credential/handle.ts';
import { parseJson } from '../../src/kernel/json.ts';
import { SessionRegistry } from '../../src/session/registry.ts';
import { FakeClock } from '../support/fake-time.ts';
import { InProcessWrit, registration } from '../support/in-process.ts';
import { TestReplica, requestOf } from '../support/replica-harness.ts';
import { NOT_KEPT, dead, killNow, recordOf } from '../session/sessions.ts';

const LIMITS = { depthMax: 32, strictMembers: false };

function fastestMs(work: () => unknown): number {
  const onceMs = (): number => {
    const beganAt = performance.now();
    work();
    return performance.now() - beganAt;
  };
  return Math.min(onceMs(), onceMs(), onceMs());
}

describe('a caller that wants to cost much', () => {
  it('is not remembered by a subject name as long as a body', async () => {
    const replica = await new TestReplica({ clock: new FakeClock() }).start();
    const { checker, fingerprinter } = replica;
    const print = fingerprinter.print.bind(fingerprinter);
    let printed = 0;
    fingerprinter.print = (...args: Parameters<Fingerprinter['print']>) => {
      printed += 1;
      return print(...args);
    };
    const ask = (id: string) => checker.check(requestOf(undefined, { subject: { type: 'u', id } }));
    for (const id of ['short', 'short', 'x'.repeat(60_000), 'x'.repeat(60_000)])
      expect(ask(id)).toMatchObject({ effect: 'allow' });
    expect(printed).toBe(3);
    await replica.stop();
  });

  it('gets no more of our time for a body of long numbers than for one of long texts', () => {
    const of = (digit: string, quote: string) =>
      `[${Array.from({ length: 5_000 }, () => `${quote}${digit.repeat(199)}${quote}`).join(',')}]`;
    const numbers = of('1', '');
    const texts = of('a', '"');
    const textsMs = fastestMs(() => parseJson(texts, LIMITS));
    const numbersMs = fastestMs(() => parseJson(numbers, LIMITS));
    // It was fifty times as long, 400 ms of one turn.
    expect(numbersMs).toBeLessThan(40 * Math.max(textsMs, 2));
  });
});

describe('the holder of one session', () => {
  it('does not fill the disk by presenting the credential that it has', async () => {
    const writ = await InProcessWrit.open();
    try {
      const token = await writ.mint();
      const context = { pad: 'x'.repeat(15_000) };
      const { body } = await writ.data('/v1/sessions', { body: registration(token, { context }) });
      const kept = async () =>
        [...(await writ.files())]
          .filter(([path]) => path.includes('session'))
          .map(([, bytes]) => bytes.length);
      const before = await kept();
      expect(Math.max(...before)).toBeGreaterThan(15_000);
      const path = `/v1/sessions/${String(body['id'])}/credential`;
      const credential = { scheme: 'Bearer', token };
      for (let i = 0; i < 20; i++)
        expect(await writ.data(path, { body: { credential } })).toMatchObject({ status: 200 });
      expect(await kept()).toEqual(before);
    } finally {
      await writ.remove();
    }
  });
});

describe('many live sessions', () => {
  it('do not make each of a thousand tallies go through all of them', () => {
    const clock = new FakeClock();
    const sessions = new SessionRegistry(NOT_KEPT, 3_000);
    for (let i = 0; i < 50_000; i++) sessions.register(recordOf(`s${i}`), clock.now().monoMs + 3_000);
    killNow(sessions, 'rev_1', [dead('jti-s1')], { at: clock.now() });
    const now = clock.now();
    const beganAt = performance.now();
    for (let i = 0; i < 1_000; i++) sessions.tally(`rev_${i}`, now);
    // It was 2 s and more: revocations became APPEND_UNCERTAIN and every answer waited.
    expect(performance.now() - beganAt).toBeLessThan(200);
    expect(sessions.tally('rev_1', now)).toMatchObject({ matched: 1, pending: 1 });
  });

  it('are looked at again in the same instant when one more of them was told to end', () => {
    const clock = new FakeClock();
    const now = clock.now();
    const sessions = new SessionRegistry(NOT_KEPT, 3_000);
    sessions.register(recordOf('a', { selfEnds: true }), now.monoMs);
    sessions.register(recordOf('b', { selfEnds: true }), now.monoMs);
    killNow(sessions, 'rev_1', [dead('jti-a')], { at: now });
    expect(sessions.tally('rev_1', now)).toMatchObject({ matched: 1, killed: 1 });
    killNow(sessions, 'rev_2', [dead('jti-b')], { at: now });
    expect(sessions.tally('rev_2', now)).toMatchObject({ matched: 1, killed: 1 });
  });
});
