/**
 * G5: from the sending of an append until another replica has it in force, beside a round trip to the same Redis that does
 * nothing, and beside the naive fleet: idle, and while that replica answers all the checks it can.
 */
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { killedToken, startCold } from '../support/fleet-stream.ts';
import { RedisFleet } from '../support/redis-fleet.ts';
import { jtiOrder, revoke } from '../support/scene.ts';
import type { WritProcess } from '../support/writ-process.ts';
import type { Contender } from './contender.ts';
import { askAuthzen } from './contender.ts';
import { medianOf } from './machine.ts';
import type { NaiveReplica } from './naive-fleet.ts';
import { NaiveCaller, startNaive, takenAt } from './naive-fleet.ts';
import type { Row } from './table.ts';
import { digits } from './table.ts';
import { lastBefore, NOTED, READING, timesOf } from './ways.ts';
import { runClosed, writeScript } from './wrk.ts';

export interface PropagationPlan {
  readonly rounds: number;
  readonly saturatedSeconds: number;
  readonly dir: string;
}

const WARM_UP = 50;
const TOKENS = 32;
/** Each begins on a fleet that the one before has left. */
const PAUSE_MS = 20;

export async function measurePropagation(plan: PropagationPlan): Promise<Row[]> {
  const fleet = await RedisFleet.start({ lease: '3s', execArgv: NOTED });
  await using started = new AsyncDisposableStack();
  started.defer(() => fleet.remove());
  const naive = await startNaive(fleet.redis, 'n1');
  started.defer(() => naive.stop());
  const caller = await NaiveCaller.open(fleet.redis);
  started.defer(() => caller.close());
  const { replica: by } = await startCold(fleet, 'r1');
  const { replica: seen } = await startCold(fleet, 'r2', [], {
    execArgv: [...NOTED, ...READING],
    env: { READER_SOCKET: fleet.redis.socket },
  });
  await killedToken(fleet, by);
  const parts = { fleet, by, seen, naive, caller };
  await orderWhile(parts, (done) => done < WARM_UP);
  const idle = await orderWhile(parts, (done) => done < plan.rounds);
  const { busy, saturated } = await saturate(parts, plan);
  return [rowOf('G5', 'idle', idle), rowOf('G5b', busy, saturated)];
}

interface Parts {
  readonly fleet: RedisFleet;
  readonly by: WritProcess;
  /** Where it is seen to be in force. */
  readonly seen: WritProcess;
  readonly naive: NaiveReplica;
  readonly caller: NaiveCaller;
}

/** Milliseconds, each list in the order of the rounds. */
interface Propagation {
  readonly pingMs: readonly number[];
  readonly naiveMs: readonly number[];
  /** From the sending of the append until a thread that does nothing else has read, verified and indexed it. */
  readonly threadMs: readonly number[];
  /** From the sending of the append, and from its reply. */
  readonly sentMs: readonly number[];
  readonly repliedMs: readonly number[];
  /** Medians since the sending of the append, of the renewal that brought it: when it was sent, and when it was answered. */
  readonly renewMs: number;
  readonly renewedMs: number;
}

async function orderWhile(
  { fleet, by, seen, naive, caller }: Parts,
  isOn: (done: number) => boolean,
): Promise<Propagation> {
  const [ids, pingMs, naiveMs]: [string[], number[], number[]] = [[], [], []];
  while (isOn(ids.length)) {
    await sleep(PAUSE_MS);
    pingMs.push(await caller.ping());
    const token = fleet.mint();
    const toldMs = await caller.revoke({ ids: [token.jti], say: token.jti });
    naiveMs.push((await takenAt(naive, token.jti)) - toldMs);
    const { body, text } = await revoke(by, jtiOrder(token));
    if (body['state'] !== 'enforced') throw new Error(`a revocation was answered with ${text}`);
    ids.push(String(body['id']));
  }
  const sent = await timesOf(by, 'append', ids);
  const replied = await timesOf(by, 'appended', ids);
  const applied = await timesOf(seen, 'applied', ids);
  const brought = await timesOf(seen, 'brought', ids);
  const read = await timesOf(seen, 'read', ids);
  const between = (begun: readonly number[], ended: readonly number[]): number[] =>
    ended.map((ms, i) => ms - (begun[i] ?? 0));
  return {
    pingMs,
    naiveMs,
    sentMs: between(sent, applied),
    threadMs: between(sent, read),
    repliedMs: between(replied, applied),
    renewMs: medianOf(between(sent, lastBefore(seen, 'renew', brought))),
    renewedMs: medianOf(between(sent, lastBefore(seen, 'renewed', brought))),
  };
}

/** Orders while wrk keeps the replica that is to hear of them as busy as it can. */
async function saturate(
  parts: Parts,
  { saturatedSeconds, dir }: PropagationPlan,
): Promise<{ busy: string; saturated: Propagation }> {
  const asked = contenderOf(parts.seen);
  const script = join(dir, 'saturate.lua');
  const tokens = Array.from({ length: TOKENS }, () => parts.fleet.mint().token);
  await writeScript(script, asked, tokens);
  let isOver = false;
  const load = runClosed(asked, script, saturatedSeconds).finally(() => (isOver = true));
  const [saturated, { rps, p50Ms }] = await Promise.all([orderWhile(parts, () => !isOver), load]);
  return { saturated, busy: `while it answers ${digits(rps)} checks a second (p50 ${digits(p50Ms)} ms)` };
}

function contenderOf({ urls, pid }: WritProcess): Contender {
  return {
    name: 'writ',
    pid,
    url: `${urls.data}/access/v1/evaluation`,
    bodyOf: askAuthzen,
    allow: '"decision":true',
    decides: true,
    stop: () => Promise.resolve(),
  };
}

function rowOf(id: string, when: string, measured: Propagation): Row {
  const { pingMs, naiveMs, threadMs, sentMs, repliedMs, renewMs, renewedMs } = measured;
  const [ping, sent] = [medianOf(pingMs), medianOf(sentMs)];
  const note = [
    `${sentMs.length} rounds, medians`,
    `counted from the reply of the append ${digits(medianOf(repliedMs))} ms, ${digits(medianOf(repliedMs) / ping)}x: what comes before it is Redis' function and its fsync`,
    `since the sending: news here and renewal sent ${digits(renewMs)}, answered and parsed ${digits(renewedMs)}, verified and in force ${digits(sent)} ms`,
    `in a thread of its own, which reads, verifies and indexes and does nothing else: ${digits(medianOf(threadMs))} ms, ${digits(medianOf(threadMs) / ping)}x`,
    `the naive fleet, a Set fed by PUBLISH with the same fsync, unsigned: ${digits(medianOf(naiveMs))} ms, ${digits(medianOf(naiveMs) / ping)}x`,
  ];
  return {
    id,
    what: `append sent -> in force on another replica, ${when}`,
    measured: `${digits(sent)} ms`,
    baseline: `${digits(ping)} ms PING`,
    value: sent / ping,
    unit: 'x',
    goal: { atMost: 2 },
    note: note.join('; '),
  };
}
