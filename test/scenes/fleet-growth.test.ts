/**
 * A fleet whose feed grows, on a real Redis: what everybody holds leaves the store, and whoever comes later begins at the
 * snapshot and denies all the same.
 */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Redis } from 'ioredis';
import { afterEach, describe, expect, it } from 'vitest';
import { RedisFleet } from '../support/redis-fleet.ts';
import { runCli } from '../support/run-cli.ts';
import {
  control,
  evaluate,
  eventually,
  jtiOrder,
  reasonOf,
  revoke,
  untilPermitted,
} from '../support/scene.ts';
import type { WritProcess } from '../support/writ-process.ts';

const SCENE_MS = 120_000;
const EVERY = 100;

let fleet: RedisFleet;
afterEach(() => fleet.remove());

const reason = async (one: WritProcess, token: string): Promise<unknown> =>
  reasonOf(await evaluate(one, token));

/** Started, and with a lease. */
async function replica(name: string): Promise<WritProcess> {
  const one = await fleet.replica(name, [`snapshotEvery=${EVERY}`]);
  expect(await untilPermitted(one, fleet.mint().token)).toBe('permitted');
  return one;
}

/** Of the stream of the open epoch, the first sequence that is held. */
async function firstHeld(redis: Redis): Promise<number> {
  const number = await redis.hget('{writ:test}:meta', 'number');
  const [line] = await redis.xrange(`{writ:test}:0:feed:${number}`, '-', '+', 'COUNT', 1);
  return Number(line?.[0].split('-')[1]);
}

/** Revocations, eight at a time, until the store has let go what came before. */
async function grow(by: WritProcess): Promise<void> {
  await eventually(
    async () => {
      await Promise.all(
        Array.from({ length: 8 }, () => revoke(by, jtiOrder(fleet.mint(), { wait: 'durable' }))),
      );
      return fleet.redis.ask(firstHeld);
    },
    (first) => first > EVERY,
    SCENE_MS,
  );
}

describe('a fleet whose feed grows', () => {
  it(
    'trims what everybody holds; a newcomer begins at the snapshot, denies all that is dead and exports what it holds',
    async () => {
      fleet = await RedisFleet.start({ lease: '3s' });
      const [first, second] = [await replica('r1'), await replica('r2')];
      const [dead, subject] = [fleet.mint(), fleet.mint('mallory')];
      expect((await revoke(first, jtiOrder(dead))).body).toMatchObject({ state: 'enforced' });
      const bySubject = { selector: { kind: 'subject', issuer: subject.issuer, value: 'mallory' } };
      expect((await revoke(second, bySubject)).body).toMatchObject({ state: 'enforced' });
      await grow(first);
      const third = await replica('r3');
      expect(third.log.some((line) => line.includes('a snapshot was loaded'))).toBe(true);
      for (const one of [first, second, third]) {
        expect(await reason(one, dead.token)).toBe('revoked');
        expect(reasonOf(await evaluate(one, subject.token))).not.toBe('permitted');
        expect(await reason(one, fleet.mint().token)).toBe('permitted');
      }
      const fresh = fleet.mint();
      const { body } = await revoke(third, jtiOrder(fresh));
      expect(body).toMatchObject({ state: 'enforced' });
      const { text } = await control(third, '/v1/ledger');
      const keys = (await control(first, '/v1/keys')).body['log'];
      const [ledger, keyFile] = [join(third.dataDir, 'ledger.jsonl'), join(third.dataDir, 'fleet.pub')];
      await writeFile(ledger, text);
      await writeFile(keyFile, String(keys));
      expect(await runCli(['verify', ledger, '--keys', keyFile])).toMatchObject({ code: 0, problems: '' });
      // It goes on from its own disk, which begins at the snapshot too.
      await third.kill('SIGKILL');
      const again = await replica('r3');
      expect(await reason(again, dead.token)).toBe('revoked');
      expect(await reason(again, fresh.token)).toBe('revoked');
    },
    SCENE_MS,
  );

  it(
    'takes back a replica that was away while what it lacks was trimmed',
    async () => {
      fleet = await RedisFleet.start({ lease: '3s' });
      const first = await replica('r1');
      const away = await replica('r2');
      await away.kill('SIGKILL');
      const dead = fleet.mint();
      expect((await revoke(first, jtiOrder(dead))).body).toMatchObject({ state: 'enforced' });
      await grow(first);
      const back = await replica('r2');
      expect(back.log.some((line) => line.includes('a snapshot was loaded'))).toBe(true);
      expect(await reason(back, dead.token)).toBe('revoked');
      expect(await reason(back, fleet.mint().token)).toBe('permitted');
    },
    SCENE_MS,
  );
});
