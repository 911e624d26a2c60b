/**
 * G12: twenty replicas on one host and one Redis; from the POST until the answer says `enforced`, by every one of them.
 * Beside it, round by round, a bare barrier: as many processes that do nothing but say that an entry has reached them.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { hostMs } from '../../src/edges/redis/host-clock.ts';
import { killedToken, startCold } from '../support/fleet-stream.ts';
import { RedisFleet } from '../support/redis-fleet.ts';
import { jtiOrder, revoke } from '../support/scene.ts';
import type { WritProcess } from '../support/writ-process.ts';
import { cpuSecondsOf, medianOf, quantileOf } from './machine.ts';
import { NaiveCaller, startNaive } from './naive-fleet.ts';
import type { Row } from './table.ts';
import { digits } from './table.ts';
import type { Step } from './ways.ts';
import { NOTED, timesOf } from './ways.ts';

export interface BarrierPlan {
  readonly replicas: number;
  readonly rounds: number;
}

/** A machine that is busy must fence nobody: whose lease ran out is not waited for. */
const LEASE = '10s';
const WAIT_MS = 30_000;
const WARM_UP = 30;
const STARTED_AT_ONCE = 3;
/** What an order leaves behind, its outcome on every replica, is over by then. */
const PAUSE_MS = 250;

export async function measureBarrier(plan: BarrierPlan): Promise<Row[]> {
  const fleet = await RedisFleet.start({ lease: LEASE, execArgv: NOTED });
  await using started = new AsyncDisposableStack();
  started.defer(() => fleet.remove());
  const { replica: by } = await startCold(fleet, 'r1');
  const others = await inBatches(plan.replicas - 1, (i) => startCold(fleet, `r${i + 2}`));
  const bare = await inBatches(plan.replicas, (i) => startNaive(fleet.redis, `n${i}`));
  for (const one of bare) started.defer(() => one.stop());
  const caller = await NaiveCaller.open(fleet.redis);
  started.defer(() => caller.close());
  await killedToken(fleet, by);
  const parts = { fleet, by, replicas: [by, ...others.map(({ replica }) => replica)], caller };
  await rounds(parts, WARM_UP);
  return rowsOf(plan, await rounds(parts, plan.rounds));
}

async function inBatches<T>(count: number, start: (i: number) => Promise<T>): Promise<T[]> {
  const all: T[] = [];
  while (all.length < count) {
    const batch = Array.from(
      { length: Math.min(STARTED_AT_ONCE, count - all.length) },
      (_, i) => all.length + i,
    );
    all.push(...(await Promise.all(batch.map(start))));
  }
  return all;
}

interface Parts {
  readonly fleet: RedisFleet;
  readonly by: WritProcess;
  readonly replicas: readonly WritProcess[];
  readonly caller: NaiveCaller;
}

interface Measured {
  /** Milliseconds, the shortest first. */
  readonly enforcedMs: readonly number[];
  readonly bareMs: readonly number[];
  readonly pingMs: readonly number[];
  /** CPU time of one replica and one order: who coordinates, and the others' median. */
  readonly cpuMs: readonly [number, number];
  /** Medians of what lies between two moments of a round. */
  readonly way: readonly string[];
}

async function rounds({ fleet, by, replicas, caller }: Parts, count: number): Promise<Measured> {
  const [ids, sentMs, answeredMs]: [string[], number[], number[]] = [[], [], []];
  const [bareMs, pingMs]: [number[], number[]] = [[], []];
  const usedBefore = replicas.map(({ pid }) => cpuSecondsOf(pid));
  for (let i = 0; i < count; i++) {
    await sleep(PAUSE_MS);
    pingMs.push(await caller.ping());
    bareMs.push(await caller.barrier(replicas.length));
    sentMs.push(hostMs());
    const { body } = await revoke(by, jtiOrder(fleet.mint(), { waitMs: WAIT_MS }));
    answeredMs.push(hostMs());
    assertEnforced(body, replicas.length);
    ids.push(String(body['id']));
  }
  const cpuMs = replicas.map(({ pid }, i) => ((cpuSecondsOf(pid) - (usedBefore[i] ?? 0)) * 1_000) / count);
  const enforcedMs = answeredMs.map((ms, i) => ms - (sentMs[i] ?? 0));
  return {
    enforcedMs: enforcedMs.toSorted(ascending),
    bareMs: bareMs.toSorted(ascending),
    pingMs: pingMs.toSorted(ascending),
    cpuMs: [cpuMs[0] ?? 0, medianOf(cpuMs.slice(1))],
    way: await wayOf({ by, replicas, ids, sentMs, answeredMs }),
  };
}

function assertEnforced(body: Record<string, unknown>, count: number): void {
  const standings = (body['replicas'] ?? []) as readonly { readonly state: string }[];
  const acknowledged = standings.filter(({ state }) => state === 'acknowledged').length;
  if (body['state'] !== 'enforced' || acknowledged !== count)
    throw new Error(`${String(body['state'])}, and ${acknowledged} of ${count} have acknowledged`);
}

interface Rounds {
  readonly by: WritProcess;
  readonly replicas: readonly WritProcess[];
  readonly ids: readonly string[];
  readonly sentMs: readonly number[];
  readonly answeredMs: readonly number[];
}

/** Where the time of a round goes, one moment after the other. */
async function wayOf({ by, replicas, ids, sentMs, answeredMs }: Rounds): Promise<string[]> {
  const here = (step: Step): Promise<number[]> => timesOf(by, step, ids);
  const everywhere = async (step: Step): Promise<readonly (readonly number[])[]> => {
    const times: number[][] = [];
    for (const one of replicas) times.push(await timesOf(one, step, ids));
    return ids.map((_, i) => times.map((of) => of[i] ?? 0).toSorted(ascending));
  };
  const [brought, durable] = [await everywhere('brought'), await everywhere('durable')];
  const at = (times: readonly (readonly number[])[], q: number): number[] =>
    times.map((of) => quantileOf(of, q));
  const moments: readonly (readonly [string, readonly number[]])[] = [
    ['append sent', await here('append')],
    ['append replied', await here('appended')],
    ['brought to half of them', at(brought, 0.5)],
    ['durable on half of them', at(durable, 0.5)],
    ['durable on the last', at(durable, 1)],
    ['receipt begun', await here('prove')],
    ['receipt on disk', await here('proven')],
    ['answered', answeredMs],
  ];
  return moments.map(([name, times]) => {
    const sinceMs = medianOf(times.map((ms, i) => ms - (sentMs[i] ?? 0)));
    return `${name} ${digits(sinceMs)}`;
  });
}

function ascending(left: number, right: number): number {
  return left - right;
}

function rowsOf({ replicas, rounds: count }: BarrierPlan, measured: Measured): Row[] {
  const { enforcedMs, bareMs, pingMs, cpuMs, way } = measured;
  const [p50, bare] = [quantileOf(enforcedMs, 0.5), quantileOf(bareMs, 0.5)];
  const row = (id: string, q: number, atMost: number): Row => ({
    id,
    what: `\`enforced\` answered, ${replicas} replicas on one host: p${q * 100}`,
    measured: `${digits(quantileOf(enforcedMs, q))} ms`,
    baseline: `${digits(quantileOf(bareMs, q))} ms bare barrier`,
    value: quantileOf(enforcedMs, q),
    unit: ' ms',
    goal: { atMost: Number(atMost.toPrecision(3)) },
  });
  const note = [
    `${count} rounds, each of them by acknowledgement of all ${replicas}`,
    `${digits(p50 / bare)}x the bare barrier's p50 (reached at ${OR_BARE}x too), PING p50 ${digits(quantileOf(pingMs, 0.5))} ms`,
    `CPU time an order: ${digits(cpuMs[0])} ms where it is coordinated, ${digits(cpuMs[1])} ms on each of the others`,
    `median ms since the POST: ${way.join(', ')}`,
  ];
  return [
    { ...row('G12', 0.5, Math.max(P50_MS, OR_BARE * bare)), note: note.join('; ') },
    row('G12b', 0.99, 100),
  ];
}

const P50_MS = 15;
const OR_BARE = 2.5;
