/**
 * F3: single revocations, one after the other by a few callers, in a fleet of three that holds nothing else: how many a second
 * are enforced, beside what their signatures alone would allow. Who calls does not wait for `enforced`; the row does, for all.
 */
import { killedToken, startCold } from '../support/fleet-stream.ts';
import { RedisFleet } from '../support/redis-fleet.ts';
import { control, eventually, jtiOrder, revoke } from '../support/scene.ts';
import type { WritProcess } from '../support/writ-process.ts';
import { cpuSecondsOf } from './machine.ts';
import { signatureCost } from './signatures.ts';
import type { Row } from './table.ts';
import { digits } from './table.ts';

const LANES = 16;
const DEADLINE_MS = 60_000;

/** Entry and outcome are signed, and verified as they come back; a receipt's statement and checkpoint too. */
const ENFORCED = { signs: 4, verifies: 4 };

export async function measureSingles(count: number): Promise<Row> {
  const fleet = await RedisFleet.start({ lease: '3s' });
  try {
    const replicas: WritProcess[] = [];
    for (const name of ['r1', 'r2', 'r3']) replicas.push((await startCold(fleet, name)).replica);
    const [by] = replicas as [WritProcess];
    await killedToken(fleet, by);
    // What a fresh process compiles is no part of it.
    await enforceAll(fleet, by, Math.ceil(count / 4));
    const used = replicas.map(({ pid }) => cpuSecondsOf(pid));
    const startedMs = performance.now();
    await enforceAll(fleet, by, count);
    const seconds = (performance.now() - startedMs) / 1_000;
    const eachMs = replicas.map(({ pid }, i) => ((cpuSecondsOf(pid) - used[i]!) * 1_000) / count);
    return rowOf(count, seconds, eachMs);
  } finally {
    await fleet.remove();
  }
}

async function enforceAll(fleet: RedisFleet, by: WritProcess, count: number): Promise<void> {
  let next = 0;
  const lane = async (): Promise<void> => {
    while (next++ < count) {
      const { status, text } = await revoke(by, jtiOrder(fleet.mint(), { wait: 'durable' }));
      if (![201, 202].includes(status)) throw new Error(`a revocation was answered ${status}: ${text}`);
    }
  };
  await Promise.all(Array.from({ length: LANES }, lane));
  const open = async (): Promise<unknown> => (await control(by, '/v1/status')).body['revocationsOpen'];
  const left = await eventually(open, (one) => one === 0, DEADLINE_MS);
  if (left !== 0) throw new Error(`${String(left)} of ${count} revocations are not enforced`);
}

function rowOf(count: number, seconds: number, eachMs: readonly number[]): Row {
  const { signMs, verifyMs } = signatureCost();
  const signedMs = ENFORCED.signs * signMs + ENFORCED.verifies * verifyMs;
  return {
    id: 'F3',
    what: `single revocations enforced, ${LANES} callers, three replicas`,
    measured: `${count} in ${digits(seconds)} s`,
    baseline: `${digits(1_000 / signedMs)}/s: signatures alone`,
    value: count / seconds,
    unit: '/s',
    goal: {},
    note: [
      `one core signs ${digits(1_000 / signMs)} and verifies ${digits(1_000 / verifyMs)} times a second (Ed25519, 300 bytes, CPU time)`,
      `who coordinates signs ${ENFORCED.signs} times a revocation and verifies ${ENFORCED.verifies} times, acknowledgements not counted: several share one`,
      `CPU time each: ${eachMs.map(digits).join(', ')} ms, the coordinator first`,
    ].join('; '),
  };
}
