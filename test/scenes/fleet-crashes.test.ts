/**
 * A replica of a fleet on a real Redis is killed half-way: while it keeps what an order brought, while it writes its fold
 * down, while it begins a ledger at a snapshot. Nothing is lost, nothing dead is let in, and the fleet goes on.
 */
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import type { CrashPointName } from '../../src/feed/crash-point.ts';
import { GROWTH_POINTS } from '../../src/feed/crash-point.ts';
import type { FleetToken } from '../support/redis-fleet.ts';
import { RedisFleet } from '../support/redis-fleet.ts';
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

const SCENE_MS = 180_000;
const CRASHING = join(import.meta.dirname, '..', 'support', 'crashing-main.ts');
const EVERY = 100;
/** So that it is the other one who writes the fold down. */
const NEVER = 1_000_000;

let fleet: RedisFleet;
afterEach(() => fleet.remove());

const start = (name: string, every = EVERY): Promise<WritProcess> =>
  fleet.replica(name, [`snapshotEvery=${every}`]);

const doomed = (
  name: string,
  point: CrashPointName,
  env: Readonly<Record<string, string>> = {},
): Promise<WritProcess> =>
  fleet.replica(name, [`snapshotEvery=${EVERY}`], {
    main: CRASHING,
    env: { CRASH_POINT: point, ...env },
  });

/** From its first answer until it permits what is alive: what it says of what is dead. */
async function untilBack(one: WritProcess, dead: FleetToken): Promise<Set<unknown>> {
  const said = new Set<unknown>();
  const live = fleet.mint();
  const isBack = async (): Promise<boolean> => {
    said.add(reasonOf(await evaluate(one, dead.token)));
    return reasonOf(await evaluate(one, live.token)) === 'permitted';
  };
  expect(await eventually(isBack, Boolean, 30_000)).toBe(true);
  said.add(reasonOf(await evaluate(one, dead.token)));
  return said;
}

const DENIED = ['fenced', 'revoked'];

/** Every line, as each of them exports it, without the checkpoint. */
async function ledgersOf(...replicas: readonly WritProcess[]): Promise<string[][]> {
  const texts = await Promise.all(replicas.map((one) => control(one, '/v1/ledger')));
  return texts.map(({ text }) => text.trimEnd().split('\n').slice(0, -1));
}

async function grow(by: WritProcess, isDone: () => boolean | Promise<boolean>): Promise<void> {
  const more = async (): Promise<boolean> => {
    const orders = Array.from({ length: 8 }, () => revoke(by, jtiOrder(fleet.mint(), { wait: 'durable' })));
    await Promise.allSettled(orders);
    return isDone();
  };
  expect(await eventually(more, Boolean, SCENE_MS)).toBe(true);
}

/** Of the open epoch's stream, whether the store has let go of its beginning. */
const isTrimmed = (): Promise<boolean> =>
  fleet.redis.ask(async (redis) => {
    const number = await redis.hget('{writ:test}:meta', 'number');
    const [line] = await redis.xrange(`{writ:test}:0:feed:${number}`, '-', '+', 'COUNT', 1);
    return Number(line?.[0].split('-')[1]) > EVERY;
  });

describe('a replica that is killed', { timeout: SCENE_MS }, () => {
  it.each(['append.before-write', 'append.before-fsync', 'append.before-reply'] as const)(
    'at %s of what its own order brought has lost nothing when it is back, and a repeated order is one',
    async (point) => {
      fleet = await RedisFleet.start();
      const other = await start('r1');
      expect(await untilPermitted(other, fleet.mint().token)).toBe('permitted');
      const dying = await doomed('r2', point);
      const dead = fleet.mint();
      expect(await untilPermitted(dying, dead.token)).toBe('permitted');
      // It may join, watch and permit before it keeps what comes next.
      await expect(revoke(dying, jtiOrder(dead), 'once')).rejects.toThrow();
      expect(await dying.exited).toBe(null);
      expect(
        await eventually(
          () => evaluate(other, dead.token),
          (one) => reasonOf(one) === 'revoked',
        ),
      ).toBeDefined();

      const back = await start('r2');
      for (const reason of await untilBack(back, dead)) expect(DENIED).toContain(reason);
      const again = await revoke(back, jtiOrder(dead), 'once');
      expect(again).toMatchObject({ status: 201, body: { state: 'enforced' } });
      for (const one of [other, back]) expect(reasonOf(await evaluate(one, dead.token))).toBe('revoked');
      const [ours, theirs] = await eventually(
        () => ledgersOf(other, back),
        ([a, b]) => a?.join() === b?.join(),
      );
      expect(theirs).toEqual(ours);
      expect(ours?.filter((line) => line.includes('"kind":"revocation"'))).toHaveLength(1);
    },
  );

  it.each(GROWTH_POINTS.filter((point) => point.startsWith('snapshot.')))(
    'at %s leaves a fleet that denies, and the next snapshot is written',
    async (point) => {
      fleet = await RedisFleet.start();
      const other = await start('r1', NEVER);
      const dying = await doomed('r2', point);
      const dead = fleet.mint();
      for (const one of [other, dying]) expect(await untilPermitted(one, dead.token)).toBe('permitted');
      expect((await revoke(other, jtiOrder(dead))).body).toMatchObject({ state: 'enforced' });
      let isDead = false;
      void dying.exited.then(() => (isDead = true));
      await grow(other, () => isDead);
      expect(await isTrimmed()).toBe(false);
      expect(reasonOf(await evaluate(other, dead.token))).toBe('revoked');

      const back = await start('r2');
      for (const reason of await untilBack(back, dead)) expect(DENIED).toContain(reason);
      await grow(other, isTrimmed);
      const newcomer = await start('r3');
      expect(newcomer.log.some((line) => line.includes('a snapshot was loaded'))).toBe(true);
      for (const reason of await untilBack(newcomer, dead)) expect(DENIED).toContain(reason);
      expect((await revoke(newcomer, jtiOrder(fleet.mint()))).body).toMatchObject({ state: 'enforced' });
    },
  );

  it('at each step of beginning a ledger at a snapshot begins again, with nothing or with an older ledger', async () => {
    fleet = await RedisFleet.start({ lease: '3s' });
    const first = await start('r1');
    const away = await start('r2');
    const dead = fleet.mint();
    expect(await untilPermitted(away, dead.token)).toBe('permitted');
    await away.kill('SIGKILL');
    expect((await revoke(first, jtiOrder(dead))).body).toMatchObject({ state: 'enforced' });
    await grow(first, isTrimmed);
    const steps = GROWTH_POINTS.filter((point) => point.startsWith('begin.'));
    for (const name of ['r2', 'r3']) {
      // Each on what the crash before it has left.
      for (const step of steps)
        await expect(doomed(name, step, { CRASH_AT_START: 'yes' })).rejects.toThrow(/ended with null/);
      const back = await start(name);
      for (const reason of await untilBack(back, dead)) expect(DENIED).toContain(reason);
      const fresh = fleet.mint();
      expect((await revoke(back, jtiOrder(fresh))).body).toMatchObject({ state: 'enforced' });
      for (const one of [first, back]) expect(reasonOf(await evaluate(one, fresh.token))).toBe('revoked');
    }
  });
});
