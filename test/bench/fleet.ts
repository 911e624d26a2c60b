/**
 * A fleet on a real Redis: two replicas are asked while a million targets stream in, a third comes to it cold, and one
 * single revocation after the other says how many a second there are. Replicas, Redis and the asking share the machine.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { askAll, BULK, killedToken, startCold, streamBulks } from '../support/fleet-stream.ts';
import type { AskedFleet } from '../support/fleet-stream.ts';
import { RedisFleet } from '../support/redis-fleet.ts';
import { evaluate, jtiOrder, reasonOf, revoke } from '../support/scene.ts';
import type { WritProcess } from '../support/writ-process.ts';
import { quantileOf } from './machine.ts';
import type { Row } from './table.ts';
import { digits } from './table.ts';

const IDLE_MS = 5_000;
const LANES = 16;
/** Twice in a million targets. */
const SET = ['snapshotEvery=500'];

export async function measureFleet({
  targets,
  singles,
}: {
  targets: number;
  singles: number;
}): Promise<Row[]> {
  const fleet = await RedisFleet.start({ lease: '3s' });
  try {
    const [first, second] = [await startCold(fleet, 'r1', SET), await startCold(fleet, 'r2', SET)];
    const replicas = [first.replica, second.replica];
    const tokens = { dead: await killedToken(fleet, first.replica), alive: fleet.mint() };
    let isOver = false;
    const asking = async <T>(
      work: () => Promise<T>,
    ): Promise<{ asked: AskedFleet; made: T; tookMs: number }> => {
      isOver = false;
      const asked = askAll(replicas, tokens, () => isOver);
      const startedMs = performance.now();
      const made = await work();
      const tookMs = performance.now() - startedMs;
      isOver = true;
      return { asked: await asked, made, tookMs };
    };
    const before = await asking(() => sleep(IDLE_MS));
    const during = await asking(() => streamBulks(fleet, first.replica, { targets }));
    for (const { wrong } of [before.asked, during.asked])
      if (wrong.length > 0) throw new Error(`${wrong.length} wrong answers: ${wrong[0]}`);
    const cold = await startCold(fleet, 'r3', SET);
    for (const { token } of during.made)
      if (reasonOf(await evaluate(cold.replica, token)) !== 'revoked')
        throw new Error('a cold replica allows');
    const single = await singlesASecond(fleet, first.replica, singles);
    const streamed = { targets, seconds: during.tookMs / 1_000 };
    return [
      ...askedRows(before.asked, during.asked, streamed),
      coldRow(cold.tookMs, first.tookMs, targets),
      single,
    ];
  } finally {
    await fleet.remove();
  }
}

interface Streamed {
  readonly targets: number;
  readonly seconds: number;
}

function askedRows(before: AskedFleet, during: AskedFleet, { targets, seconds }: Streamed): Row[] {
  const p99 = ({ tookMs }: AskedFleet): number => quantileOf(tookMs, 0.99);
  const shown = (asked: AskedFleet): string =>
    `p50 ${digits(quantileOf(asked.tookMs, 0.5))}, p99 ${digits(p99(asked))} ms of ${asked.tookMs.length}`;
  return [
    {
      id: 'F1',
      what: `a check while ${targets / 1e6} M targets stream into the fleet: p99 / p99 before`,
      measured: shown(during),
      baseline: shown(before),
      value: p99(during) / p99(before),
      unit: 'x',
      goal: {},
      note: `${digits(targets / seconds)} targets a second in bulks of ${BULK}, each durable in Redis and on two disks; every check was right, none fenced`,
    },
  ];
}

function coldRow(tookMs: number, emptyMs: number, targets: number): Row {
  return {
    id: 'F2',
    what: `a cold replica, from its start until it allows, with ${targets / 1e6} M revoked`,
    measured: `${digits(tookMs / 1_000)} s`,
    baseline: `${digits(emptyMs / 1_000)} s with none`,
    value: tookMs / 1_000,
    unit: ' s',
    goal: {},
    note: 'it denies one of each bulk: asked before this row was made',
  };
}

async function singlesASecond(fleet: RedisFleet, by: WritProcess, count: number): Promise<Row> {
  let next = 0;
  const lane = async (): Promise<void> => {
    while (next++ < count) await revoke(by, jtiOrder(fleet.mint(), { wait: 'durable' }));
  };
  const startedMs = performance.now();
  await Promise.all(Array.from({ length: LANES }, lane));
  const seconds = (performance.now() - startedMs) / 1_000;
  return {
    id: 'F3',
    what: `single revocations, ${LANES} at a time, three replicas`,
    measured: `${count} in ${digits(seconds)} s`,
    baseline: '',
    value: count / seconds,
    unit: '/s',
    goal: {},
  };
}
