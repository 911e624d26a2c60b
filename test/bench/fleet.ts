/**
 * A fleet on a real Redis: two replicas are asked while millions of targets stream in, and a third comes to it cold. Replicas,
 * Redis, whoever appends and whoever asks share the machine's cores: a replica of another fleet, to which nothing streams, is
 * asked alike and at the same time, and what a replica's thread did by itself is told in CPU time. A naive fleet on the same
 * Redis takes in as many afterwards, and one of it starts cold as well.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { AskedFleet } from '../support/fleet-stream.ts';
import { askAll, BULK, killedToken, startCold, streamBulks } from '../support/fleet-stream.ts';
import { RedisFleet } from '../support/redis-fleet.ts';
import { evaluate, reasonOf, untilPermitted } from '../support/scene.ts';
import type { WritProcess } from '../support/writ-process.ts';
import { cpuSecondsOf, quantileOf } from './machine.ts';
import type { NaiveReplica } from './naive-fleet.ts';
import { NaiveCaller, startNaive, takenAt } from './naive-fleet.ts';
import type { Stalls } from './stalls.ts';
import { askStalls, WATCHED } from './stalls.ts';
import type { Goal, Row } from './table.ts';
import { digits } from './table.ts';
import { revokedId } from './workload.ts';

const IDLE_MS = 5_000;
/** Targets a second where somebody takes his time: a million in three minutes. */
const PACED = 5_000;
/** Of what a check takes where nothing streams, on the same machine at the same time. */
const FLAT = 1.5;
export async function measureFleet(targets: number): Promise<Row[]> {
  // Alike to the tick: a loop that is watched does more.
  const options = { lease: '3s', execArgv: [...WATCHED, '--expose-gc'] };
  const [fleet, otherFleet] = [await RedisFleet.start(options), await RedisFleet.start(options)];
  try {
    const [first, second] = [await startCold(fleet, 'r1'), await startCold(fleet, 'r2')];
    const replicas = [first.replica, second.replica];
    const tokens = { dead: await killedToken(fleet, first.replica), alive: fleet.mint() };
    const { replica: other } = await startCold(otherFleet, 'other');
    const otherTokens = { dead: await killedToken(otherFleet, other), alive: otherFleet.mint() };
    const asked = { replicas, tokens, bystander: { replicas: [other], tokens: otherTokens } };
    // What a fresh process compiles and collects is no part of either.
    await whileAsked(asked, () => sleep(IDLE_MS));
    const before = await whileAsked(asked, () => sleep(IDLE_MS));
    const paced = await whileAsked(asked, () =>
      streamBulks(fleet, first.replica, { targets: targets / 10, perSecond: PACED }),
    );
    const empty = await askStalls(second.replica);
    const during = await whileAsked(asked, () => streamBulks(fleet, first.replica, { targets }));
    const cold = await startCold(fleet, 'r3');
    const held = await askStalls(cold.replica);
    for (const { token } of [...paced.made, ...during.made])
      if (reasonOf(await evaluate(cold.replica, token)) !== 'revoked')
        throw new Error('a cold replica allows');
    const all = [...replicas, cold.replica];
    const back = await backRow(fleet, { ...asked, replicas: all });
    const naive = await measureNaive(fleet, targets);
    return [
      ...askedRows(before, during, targets),
      pacedRow(paced),
      back,
      memoryRow(targets, { empty: empty.rss, held: held.rss }, naive),
      stallRow(targets, { before, during }, naive),
      coldRow(targets, { tookMs: cold.tookMs, emptyMs: second.tookMs }, naive),
    ];
  } finally {
    await fleet.remove();
    await otherFleet.remove();
  }
}

interface Period<T> extends AskedFleet {
  /** What the same answers took of a replica to which nothing streamed, at the same time. */
  readonly bystanderMs: readonly number[];
  readonly made: T;
  readonly seconds: number;
  /** By replica, the one that appends first. */
  readonly stalls: readonly Stalls[];
  readonly cpuSeconds: readonly number[];
}

interface Asking {
  readonly replicas: readonly WritProcess[];
  readonly tokens: Parameters<typeof askAll>[1];
}

interface AskingBeside extends Asking {
  readonly bystander: Asking;
}

async function whileAsked<T>(
  { replicas, tokens, bystander }: AskingBeside,
  work: () => Promise<T>,
): Promise<Period<T>> {
  for (const one of replicas) await askStalls(one);
  const usedBefore = cpuSeconds(replicas);
  let isOver = false;
  const asking = [{ replicas, tokens }, bystander].map((one) =>
    askAll(one.replicas, one.tokens, () => isOver),
  );
  const startedMs = performance.now();
  const made = await work();
  const seconds = (performance.now() - startedMs) / 1_000;
  isOver = true;
  const [asked, beside] = (await Promise.all(asking)) as [AskedFleet, AskedFleet];
  if (asked.wrong.length > 0) throw new Error(`${asked.wrong.length} wrong answers: ${asked.wrong[0]}`);
  const stalls: Stalls[] = [];
  for (const one of replicas) stalls.push(await askStalls(one));
  const used = since(usedBefore, cpuSeconds(replicas));
  return { ...asked, bystanderMs: beside.tookMs, made, seconds, stalls, cpuSeconds: used };
}

function cpuSeconds(replicas: readonly WritProcess[]): number[] {
  return replicas.map(({ pid }) => cpuSecondsOf(pid));
}

function since(before: readonly number[], now: readonly number[]): number[] {
  return now.map((used, i) => used - (before[i] ?? 0));
}

/** Of the checks of a period, at `q`: beside those of the bystander at the same time. */
function askedRow(id: string, what: string, period: Period<unknown>, q: number): Row {
  const { tookMs, bystanderMs } = period;
  const [is, beside] = [quantileOf(tookMs, q), quantileOf(bystanderMs, q)];
  return {
    id,
    what: `a check while ${what} stream into the fleet: p${q * 100} / that of a fleet beside it`,
    measured: `${digits(is)} ms of ${tookMs.length} checks`,
    baseline: `${digits(beside)} ms of ${bystanderMs.length} checks`,
    value: is / beside,
    unit: 'x',
    goal: { atMost: FLAT },
  };
}

function askedRows(before: Period<unknown>, during: Period<unknown>, targets: number): Row[] {
  const worst = ({ stalls }: Period<unknown>): string =>
    stalls.map(({ worstCpuMs }) => digits(worstCpuMs)).join(' and ');
  const bulkMs = during.cpuSeconds.map((used) => digits((used * 1_000) / (targets / BULK)));
  const note = [
    `${digits(targets / during.seconds)} targets a second in bulks of ${BULK}, each durable in Redis and on two disks`,
    'every check was right, none fenced',
    `before, with both cores free: p50 ${digits(quantileOf(before.tookMs, 0.5))}, p99 ${digits(quantileOf(before.tookMs, 0.99))} ms (beside it ${digits(quantileOf(before.bystanderMs, 0.5))}, ${digits(quantileOf(before.bystanderMs, 0.99))})`,
    `CPU time a bulk, checks included: ${bulkMs.join(' ms where it is appended, ')} ms where it is followed`,
    `the longest that a thread worked between two ticks of a millisecond: ${worst(during)} ms of CPU time, ${worst(before)} before`,
  ];
  const what = `${targets / 1e6} M targets`;
  return [
    askedRow('F1', what, during, 0.99),
    { ...askedRow('F1b', what, during, 0.5), note: note.join('; ') },
  ];
}

/** At a rate that is asked for, not found: what a stream does to a check where the cores have room for both. */
function pacedRow(paced: Period<unknown>): Row {
  const [is, beside] = [quantileOf(paced.tookMs, 0.5), quantileOf(paced.bystanderMs, 0.5)];
  return {
    ...askedRow('F1c', `${digits(PACED)} targets a second`, paced, 0.99),
    note: `p50 ${digits(is)} ms, beside it ${digits(beside)}`,
  };
}

interface Naive {
  readonly emptyRss: number;
  readonly heldRss: number;
  readonly idleMs: number;
  readonly worstMs: number;
  readonly coldMs: number;
  readonly emptyMs: number;
}

/** As many ids, as fast as they go, into one that follows; and one that reads all of them when it starts. */
async function measureNaive({ redis }: RedisFleet, targets: number): Promise<Naive> {
  const execArgv = [...WATCHED, '--expose-gc', '--max-old-space-size=8192'];
  await using started = new AsyncDisposableStack();
  const start = async (name: string): Promise<NaiveReplica> => {
    const one = await startNaive(redis, name, { execArgv });
    started.defer(() => one.stop());
    return one;
  };
  const following = await start('n1');
  const caller = await NaiveCaller.open(redis);
  started.defer(() => caller.close());
  const { rss: emptyRss } = await askStalls(following);
  await sleep(IDLE_MS);
  const { worstMs: idleMs } = await askStalls(following);
  for (let from = 0; from < targets; from += BULK)
    await caller.revoke({ ids: Array.from({ length: BULK }, (_, i) => revokedId(from + i)) });
  await caller.revoke({ ids: [], say: 'last' });
  await takenAt(following, 'last');
  const { worstMs } = await askStalls(following);
  const cold = await start('n2');
  const { rss: heldRss } = await askStalls(cold);
  return { emptyRss, heldRss, idleMs, worstMs, coldMs: cold.startedInMs, emptyMs: following.startedInMs };
}

/** The goals are about ten million. */
const GOAL_TARGETS = 10_000_000;

function goalAt(targets: number, goal: Goal): Goal {
  return targets >= GOAL_TARGETS ? goal : {};
}

function memoryRow(
  targets: number,
  rss: { readonly empty: number; readonly held: number },
  naive: Naive,
): Row {
  const each = (held: number, empty: number): number => (held - empty) / targets;
  return {
    id: 'G6',
    what: `resident bytes for each of ${targets / 1e6} M revoked targets that came out of Redis`,
    measured: `${digits(rss.held / 2 ** 20)} MB cold, with them`,
    baseline: `${digits(each(naive.heldRss, naive.emptyRss))} B naive, a Set`,
    value: each(rss.held, rss.empty),
    unit: ' B',
    goal: goalAt(targets, { atMost: 20 }),
    note: `after a collection; a replica with none of them ${digits(rss.empty / 2 ** 20)} MB`,
  };
}

function stallRow(
  targets: number,
  { before, during }: { readonly before: Period<unknown>; readonly during: Period<unknown> },
  naive: Naive,
): Row {
  const worst = ({ stalls }: Period<unknown>): number => Math.max(...stalls.map(({ worstMs }) => worstMs));
  const lateMs = during.stalls.map(({ p999Ms }) => digits(p999Ms)).join(' and ');
  const cpuMs = during.stalls.map(({ worstCpuMs }) => digits(worstCpuMs)).join(' and ');
  return {
    id: 'G7',
    what: `worst loop stall of a replica while ${targets / 1e6} M revocations stream in`,
    measured: `${digits(worst(during))} ms`,
    baseline: `${digits(worst(before))} ms without; naive ${digits(naive.worstMs)}, ${digits(naive.idleMs)} without`,
    value: worst(during),
    unit: ' ms',
    goal: { atMost: 5 },
    note: `who appends and who follows: 99.9 % of ticks less than ${lateMs} ms late, at most ${cpuMs} ms of CPU time between two; the rest is this machine's, whose cores are full`,
  };
}

function coldRow(
  targets: number,
  { tookMs, emptyMs }: { readonly tookMs: number; readonly emptyMs: number },
  naive: Naive,
): Row {
  return {
    id: 'G8',
    what: `a cold replica, from its start until it allows, with ${targets / 1e6} M revoked`,
    measured: `${digits(tookMs / 1_000)} s`,
    baseline: `${digits(emptyMs / 1_000)} s with none; naive ${digits(naive.coldMs / 1_000)} s, ${digits(naive.emptyMs / 1_000)} s with none`,
    value: tookMs / 1_000,
    unit: ' s',
    goal: goalAt(targets, { atMost: 3 }),
    note: 'it denies one of each bulk: asked before this row was made',
  };
}

/** Redis is killed and comes back with its AOF: from when it answers until every replica allows again; the revoked one is asked all along. */
async function backRow(fleet: RedisFleet, { replicas, tokens }: Asking): Promise<Row> {
  await fleet.redis.stop('SIGKILL');
  await sleep(DOWN_MS);
  let isBack = false;
  const asking = askAll(replicas, tokens, () => isBack);
  const startedMs = performance.now();
  await fleet.redis.begin();
  const answeringMs = performance.now();
  await Promise.all(replicas.map((one) => untilPermitted(one, tokens.alive.token)));
  const backMs = performance.now() - answeringMs;
  isBack = true;
  const { wrong } = await asking;
  const allowed = wrong.filter((one) => one.startsWith('permitted'));
  if (allowed.length > 0) throw new Error(`allowed while Redis was away: ${allowed[0]}`);
  return {
    id: 'F4',
    what: 'Redis is killed and comes back with its AOF: until all three replicas allow again',
    measured: `${digits(backMs)} ms since it answers`,
    baseline: `${digits(answeringMs - startedMs)} ms: Redis itself, from its start until it answers`,
    value: backMs / 1_000,
    unit: ' s',
    goal: { atMost: 2 },
  };
}

/** Longer than a lease: everyone is fenced by then. */
const DOWN_MS = 4_000;
