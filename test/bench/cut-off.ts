/**
 * F2: one replica of three is stopped, or cut off from Redis in either direction or in both: from the POST until the answer says
 * `enforced`, beside the bound that it states. Where answers alone are held, its row in the lease table goes on moving.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { killedToken, startCold } from '../support/fleet-stream.ts';
import { RedisFleet } from '../support/redis-fleet.ts';
import { jtiOrder, revoke } from '../support/scene.ts';
import type { WritProcess } from '../support/writ-process.ts';
import type { Row } from './table.ts';
import { digits } from './table.ts';

const WAIT_MS = 10_000;
/** Until who was away has its lease again. */
const BACK_MS = 1_500;

interface Way {
  readonly name: string;
  readonly cut: () => void;
  readonly mend: () => void;
}

export async function measureCutOff(rounds: number): Promise<Row> {
  const fleet = await RedisFleet.start();
  try {
    const proxy = await fleet.proxy();
    const { replica: by } = await startCold(fleet, 'r1');
    await startCold(fleet, 'r2');
    const { replica: away } = await startCold(fleet, 'r3', [`store.url=unix:${proxy.path}`]);
    await killedToken(fleet, by);
    const held = (name: string, ...directions: ('up' | 'down')[]): Way => ({
      name,
      cut: () => proxy.hold(...directions),
      mend: () => proxy.release(),
    });
    const ways: readonly Way[] = [
      {
        name: 'stopped',
        cut: () => process.kill(away.pid, 'SIGSTOP'),
        mend: () => process.kill(away.pid, 'SIGCONT'),
      },
      held('nothing reaches Redis', 'up'),
      held('nothing comes back', 'down'),
      held('neither', 'up', 'down'),
    ];
    const slowest = new Map<string, Taken>();
    for (let round = 0; round < rounds; round++)
      for (const way of ways) {
        const taken = await enforcedWithout(fleet, by, way);
        if (taken.ms > (slowest.get(way.name)?.ms ?? 0)) slowest.set(way.name, taken);
      }
    return rowOf(rounds, slowest);
  } finally {
    await fleet.remove();
  }
}

interface Taken {
  readonly ms: number;
  readonly boundMs: number;
}

async function enforcedWithout(fleet: RedisFleet, by: WritProcess, { name, cut, mend }: Way): Promise<Taken> {
  await sleep(BACK_MS);
  cut();
  try {
    const sentMs = performance.now();
    const { body } = await revoke(by, jtiOrder(fleet.mint(), { waitMs: WAIT_MS }));
    const ms = performance.now() - sentMs;
    const standings = (body['replicas'] ?? []) as readonly {
      readonly replica: string;
      readonly state: string;
    }[];
    const isFenced = standings.some(({ replica, state }) => replica === 'r3' && state === 'fenced');
    if (body['state'] !== 'enforced' || !isFenced)
      throw new Error(`${name}: ${String(body['state'])}, ${JSON.stringify(standings)}`);
    return { ms, boundMs: Number(body['boundMs']) };
  } finally {
    mend();
  }
}

function rowOf(rounds: number, slowest: ReadonlyMap<string, Taken>): Row {
  const { ms, boundMs } = [...slowest.values()].reduce((one, other) => (other.ms > one.ms ? other : one));
  return {
    id: 'F2',
    what: '`enforced` answered while one replica of three is stopped or cut off: the slowest',
    measured: `${digits(ms)} ms`,
    baseline: `${boundMs} ms: the bound that the answer states`,
    value: ms / boundMs,
    unit: 'x',
    goal: { atMost: 1 },
    note: [...slowest]
      .map(([name, taken]) => `${name}: ${digits(taken.ms)} ms`)
      .concat(`${rounds} of each, r3 fenced in every answer`)
      .join('; '),
  };
}
