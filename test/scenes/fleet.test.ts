/**
 * Replicas in processes of their own on one real Redis: what is enforced on one is dead on all, whoever joins, sleeps or
 * is cut off, and the receipt says of each how that is known.
 */
import { afterEach, describe, expect, it } from 'vitest';
import { call, listen } from '../support/client.ts';
import type { FleetToken } from '../support/redis-fleet.ts';
import type { Direction } from '../support/holding-proxy.ts';
import { RedisFleet } from '../support/redis-fleet.ts';
import {
  control,
  evaluate,
  eventually,
  jtiOrder,
  openSession,
  reasonOf,
  revoke,
  untilPermitted,
} from '../support/scene.ts';
import type { WritProcess } from '../support/writ-process.ts';

const SCENE_MS = 60_000;

let fleet: RedisFleet;
afterEach(() => fleet.remove());

async function startThree(): Promise<[WritProcess, WritProcess, WritProcess]> {
  fleet = await RedisFleet.start();
  return [await letIn('r1'), ...(await Promise.all([letIn('r2'), letIn('r3')]))];
}

/** Started, and with its first lease. */
async function letIn(name: string, set: readonly string[] = []): Promise<WritProcess> {
  const writ = await fleet.replica(name, set);
  expect(await untilPermitted(writ, fleet.mint().token)).toBe('permitted');
  return writ;
}

interface Held {
  /** Why it was told to end; it has confirmed that it did. */
  readonly ended: Promise<unknown>;
}

async function hold(writ: WritProcess, { token }: FleetToken): Promise<Held> {
  const opened = await openSession(writ, token);
  expect(opened.status).toBe(201);
  const events = `${writ.urls.data}${String(opened.body['events'])}`;
  const stream = await listen(events);
  const ended = stream.killed.then(async ({ data }) => {
    await call(events.replace('/events', '/closed'), { method: 'POST' });
    stream.close();
    return data['reason'];
  });
  return { ended };
}

async function reasons(token: FleetToken, replicas: readonly WritProcess[]): Promise<unknown[]> {
  return Promise.all(replicas.map(async (one) => reasonOf(await evaluate(one, token.token))));
}

function standings(body: Record<string, unknown>): string[] {
  const replicas = body['replicas'] as { replica: string; state: string }[];
  return replicas.map(({ replica, state }) => `${replica} ${state}`).sort();
}

describe('a fleet on Redis', () => {
  it(
    'denies everywhere what was enforced on one, its sessions are dead; a newcomer denies it before its first yes',
    async () => {
      const replicas = await startThree();
      const token = fleet.mint();
      expect(await reasons(token, replicas)).toEqual(['permitted', 'permitted', 'permitted']);
      const held = await Promise.all(replicas.map((one) => hold(one, token)));
      const { body } = await revoke(replicas[0], jtiOrder(token));
      expect(body).toMatchObject({ state: 'enforced', closure: 'CLOSED', seen: true, lateAccepts: 0 });
      expect(body['sessions']).toMatchObject({ matched: 3, killed: 3, unconfirmed: 0 });
      for (const { ended } of held) expect(await ended).toBe('revoked');
      expect(standings(body)).toEqual(['r1 acknowledged', 'r2 acknowledged', 'r3 acknowledged']);
      expect(await reasons(token, replicas)).toEqual(['revoked', 'revoked', 'revoked']);
      const receipt = await control(replicas[0], String(body['receipt']));
      for (const name of ['r1', 'r2', 'r3']) expect(receipt.text).toContain(name);
      // It is on the disk of the one that was asked; another one says so once the outcome has come to it.
      const elsewhere = await eventually(
        () => control(replicas[1], `/v1/revocations/${String(body['id'])}`),
        (answer) => answer.body['state'] === 'enforced',
      );
      expect(elsewhere.body).toMatchObject({ receiptOn: 'r1' });
      expect((await control(replicas[1], String(body['receipt']))).text).toContain(
        'in the data directory of r1;',
      );
      const fourth = await fleet.replica('r4');
      expect(await reasons(token, [fourth])).not.toEqual(['permitted']);
      expect(await untilPermitted(fourth, fleet.mint().token)).toBe('permitted');
      expect(await reasons(token, [fourth])).toEqual(['revoked']);
    },
    SCENE_MS,
  );

  it(
    'is done with a replica that is stopped when its lease is surely over; none of its queued requests is allowed',
    async () => {
      const [first, second, third] = await startThree();
      const token = fleet.mint();
      expect(await reasons(token, [third])).toEqual(['permitted']);
      process.kill(third.pid, 'SIGSTOP');
      const queued = Array.from({ length: 20 }, () => evaluate(third, token.token));
      const sentMs = performance.now();
      const { body } = await revoke(first, jtiOrder(token));
      const tookMs = performance.now() - sentMs;
      expect(body).toMatchObject({ state: 'enforced', closure: 'CLOSED' });
      expect(standings(body)).toEqual(['r1 acknowledged', 'r2 acknowledged', 'r3 fenced']);
      expect(tookMs).toBeLessThan(Number(body['boundMs']) + 1_000);
      process.kill(third.pid, 'SIGCONT');
      for (const reply of await Promise.all(queued)) expect(reasonOf(reply)).not.toBe('permitted');
      expect(await reasons(token, [second, third])).toEqual(['revoked', 'revoked']);
    },
    SCENE_MS,
  );

  it.each<[string, Direction[]]>([
    ['towards Redis', ['up']],
    ['from Redis', ['down']],
    ['in both directions', ['up', 'down']],
  ])(
    'is done with a replica that is cut off %s when its lease is surely over, and that allows nothing when it is back',
    async (_, directions) => {
      fleet = await RedisFleet.start();
      const proxy = await fleet.proxy();
      const [first, second] = [await letIn('r1'), await letIn('r2')];
      const third = await letIn('r3', [`store.url=unix:${proxy.path}`]);
      const token = fleet.mint();
      expect(await reasons(token, [third])).toEqual(['permitted']);
      proxy.hold(...directions);
      const { body } = await revoke(first, jtiOrder(token));
      expect(body).toMatchObject({ state: 'enforced', closure: 'CLOSED' });
      expect(standings(body)).toEqual(['r1 acknowledged', 'r2 acknowledged', 'r3 fenced']);
      // Cut off it knows nothing of it, and says so.
      expect(await reasons(token, [second, third])).toEqual(['revoked', 'fenced']);
      let asked = 0;
      let isOver = false;
      const asking = (async () => {
        for (; !isOver; asked++) expect(await reasons(token, [third])).not.toEqual(['permitted']);
      })();
      proxy.release();
      await eventually(
        async () => (await reasons(fleet.mint(), [third]))[0],
        (reason) => reason === 'permitted',
      );
      isOver = true;
      await asking;
      expect(asked).toBeGreaterThan(0);
      expect(await reasons(token, [third])).toEqual(['revoked']);
    },
    SCENE_MS,
  );
});
