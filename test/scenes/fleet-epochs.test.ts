/**
 * Redis dies, comes back, comes back empty, older or another: nothing that was enforced is ever accepted, and the fleet
 * goes on by itself where somebody who has everything can say so, else it stays closed and says whom it waits for.
 */
import { afterEach, describe, expect, it } from 'vitest';
import type { FleetToken } from '../support/redis-fleet.ts';
import { RedisFleet } from '../support/redis-fleet.ts';
import { call } from '../support/client.ts';
import { contextOf, eventually, evaluate, jtiOrder, reasonOf, revoke } from '../support/scene.ts';
import type { WritProcess } from '../support/writ-process.ts';

const SCENE_MS = 90_000;

let fleet: RedisFleet;
afterEach(() => fleet.remove());

async function start(...names: string[]): Promise<WritProcess[]> {
  fleet = await RedisFleet.start();
  const replicas: WritProcess[] = [];
  for (const name of names) replicas.push(await fleet.replica(name));
  return replicas;
}

const reasonAt = async (writ: WritProcess, { token }: FleetToken) => reasonOf(await evaluate(writ, token));

async function enforcedOn(writ: WritProcess): Promise<FleetToken> {
  const token = fleet.mint();
  expect(await reasonAt(writ, token)).toBe('permitted');
  const { body } = await revoke(writ, jtiOrder(token));
  expect(body).toMatchObject({ state: 'enforced' });
  return token;
}

/** Ready again; never permits `dead` on the way. */
async function untilReady(
  replicas: readonly WritProcess[],
  dead: FleetToken,
  withinMs = 20_000,
): Promise<void> {
  const fresh = fleet.mint();
  for (const writ of replicas) {
    const answer = await eventually(
      async () => {
        expect(await reasonAt(writ, dead)).not.toBe('permitted');
        return reasonAt(writ, fresh);
      },
      (reason) => reason === 'permitted',
      withinMs,
    );
    expect(answer).toBe('permitted');
  }
}

/** The number of the epoch by which it decides. */
async function epochOf(writ: WritProcess): Promise<number> {
  const { position } = contextOf(await evaluate(writ, fleet.mint().token));
  return Number(String(position).split('-')[0]);
}

async function untilNextEpoch(replicas: readonly WritProcess[], before: number): Promise<void> {
  for (const writ of replicas)
    expect(
      await eventually(
        () => epochOf(writ),
        (epoch) => epoch > before,
      ),
    ).toBeGreaterThan(before);
}

async function readiness(writ: WritProcess): Promise<string> {
  return (await call(`${writ.urls.diagnostics}/readyz`)).text;
}

describe('a Redis that restarts with its disk', () => {
  it(
    'within a lease is reopened by a witness',
    async () => {
      const replicas = await start('r1', 'r2');
      const dead = await enforcedOn(replicas[0]!);
      const before = await epochOf(replicas[0]!);
      await fleet.redis.stop('SIGKILL');
      await fleet.redis.begin();
      await untilNextEpoch(replicas, before);
      await untilReady(replicas, dead);
    },
    SCENE_MS,
  );

  it(
    'after longer than a lease is reopened by the whole roster',
    async () => {
      const replicas = await start('r1', 'r2', 'r3');
      const dead = await enforcedOn(replicas[0]!);
      await fleet.redis.stop('SIGKILL');
      for (const writ of replicas)
        await eventually(
          () => reasonAt(writ, fleet.mint()),
          (reason) => reason === 'fenced',
        );
      await fleet.redis.begin();
      await untilReady(replicas, dead);
    },
    SCENE_MS,
  );

  it(
    'stays closed while one of the roster is gone, and says whom it waits for',
    async () => {
      const replicas = await start('r1', 'r2');
      const dead = await enforcedOn(replicas[0]!);
      process.kill(replicas[1]!.pid, 'SIGSTOP');
      await fleet.redis.stop('SIGKILL');
      await eventually(
        () => reasonAt(replicas[0]!, fleet.mint()),
        (reason) => reason === 'fenced',
      );
      await fleet.redis.begin();
      await eventually(
        () => readiness(replicas[0]!),
        (text) => text.includes('it waits for r2'),
        10_000,
      );
      expect(await readiness(replicas[0]!)).toContain('it waits for r2');
      expect(await reasonAt(replicas[0]!, fleet.mint())).toBe('fenced');
      process.kill(replicas[1]!.pid, 'SIGCONT');
      await untilReady(replicas, dead);
    },
    SCENE_MS,
  );
});

describe('a Redis that a hostile client writes to', () => {
  it(
    'goes on in another epoch where its stream was blocked, and never allows what was enforced',
    async () => {
      const replicas = await start('r1', 'r2');
      const dead = await enforcedOn(replicas[0]!);
      const before = await epochOf(replicas[0]!);
      const token = fleet.mint();
      expect(await reasonAt(replicas[0]!, token)).toBe('permitted');
      await fleet.redis.ask((redis) =>
        redis.xadd(`{writ:test}:0:feed:${before}`, `${before}-999999`, 'c', 'f'.repeat(40), 'e', '{}'),
      );
      const order = jtiOrder(token);
      const { body } = await eventually(
        () => revoke(replicas[0]!, order),
        (reply) => reply.body['state'] === 'enforced',
      );
      expect(body).toMatchObject({ state: 'enforced' });
      await untilNextEpoch(replicas, before);
      for (const writ of replicas)
        for (const one of [dead, token]) expect(await reasonAt(writ, one)).toBe('revoked');
    },
    SCENE_MS,
  );
});

describe('a Redis that comes back empty', () => {
  it(
    'is given back all that a witness has',
    async () => {
      const replicas = await start('r1', 'r2');
      const dead = await enforcedOn(replicas[0]!);
      const before = await epochOf(replicas[0]!);
      await fleet.redis.ask((redis) => redis.flushall());
      await untilNextEpoch(replicas, before);
      await untilReady(replicas, dead);
      const third = await fleet.replica('r3');
      expect(await reasonAt(third, dead)).toBe('revoked');
    },
    SCENE_MS,
  );
});
