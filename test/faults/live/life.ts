/**
 * The life of one live fleet: round after round of faults while callers ask and something is revoked, each followed by
 * healing; then what must hold at the end. Judged by the same code as a simulated one.
 */
import { createWriteStream } from 'node:fs';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { EPS_MS, enforcedByWaitMs } from '../../../src/feed/lease.ts';
import { call } from '../../support/client.ts';
import { freePort } from '../../support/free-port.ts';
import { control } from '../../support/scene.ts';
import { RedisCopies, masterArgs } from '../../support/redis-copies.ts';
import { RedisFleet } from '../../support/redis-fleet.ts';
import type { Revoked } from '../history.ts';
import { judge } from '../history.ts';
import { Chances } from '../random.ts';
import type { Kept } from './live-evidence.ts';
import { checkLedgers, checkReceipts, readAll } from './live-evidence.ts';
import type { Begun, LiveFault } from './live-faults.ts';
import { SET_CLOCK, SMALL_DISK, STALLING } from './live-faults.ts';
import type { LiveClocks, LiveReplica } from './live-fleet.ts';
import { LiveFleet } from './live-fleet.ts';
import type { Machine } from './machine.ts';
import type { Round } from './plan.ts';
import { SetClocks } from './set-clocks.ts';

const LEASE_MS = 1_000;
/** As often as may be: then the feed is trimmed in a short life, too. */
const SNAPSHOT_EVERY = 'snapshotEvery=100';
export const BOUND_MS = enforcedByWaitMs({ leaseMs: LEASE_MS, epsMs: EPS_MS });
/** Before a fault: so many requests a second, and each credential allowed so long. */
const RATE_MIN = 50;
const WARM_UP_MS = 800;
/** Where a copy may take over, as it is set up here. */
const SPLIT_MS = 6_000;
const HEALING_MS = 30_000;
const TOO_LONG_MS = 180_000;

export interface RoundOutcome {
  readonly faults: readonly { readonly fault: LiveFault; readonly isSeen: boolean }[];
  /** Why it shows nothing; none when it counts. */
  readonly vacuities: readonly string[];
  readonly healedMs: number;
}

export interface LifeOutcome extends Kept {
  readonly rounds: readonly RoundOutcome[];
  readonly violations: readonly string[];
  readonly decisions: number;
  readonly tookMs: number;
  readonly revocations: number;
  readonly enforced: number;
  readonly counted: number;
  readonly inFlight: number;
  readonly receipts: number;
  readonly lines: number;
  readonly worstMs: number;
  readonly isAmnesiac: boolean;
  readonly restarts: number;
  /** Where everything that callers saw stands, line by line (THREATS 7.1). */
  readonly history: string;
  readonly log: readonly string[];
}

export interface LifeOptions {
  readonly machine: Machine;
  readonly historyDir: string;
  /** No further round. */
  readonly isOver: () => boolean;
}

export async function live(
  seed: number,
  rounds: readonly Round[],
  { machine, historyDir, isOver }: LifeOptions,
): Promise<LifeOutcome> {
  const hasCopies = rounds.some(({ faults }) => faults.some(({ fault }) => fault.needs === 'copies'));
  const life = await Life.begin(seed, machine, hasCopies);
  try {
    const outcomes: RoundOutcome[] = [];
    for (const round of rounds) {
      if (outcomes.length > 0 && isOver()) break;
      outcomes.push(await life.round(round));
      if (life.fleet.violations.length > 0) break;
    }
    return await life.conclude(outcomes, historyDir);
  } finally {
    await life.close();
  }
}

interface LifeFacts {
  readonly machine: Machine;
  readonly seed: number;
  readonly hasCopies: boolean;
  readonly clocks: LiveClocks | undefined;
}

async function clocksFor({ clocks: library }: Machine): Promise<LiveClocks | undefined> {
  if (library === undefined) return undefined;
  const dir = await mkdtemp(join(tmpdir(), 'writ-clocks-'));
  return {
    replica: await SetClocks.at(join(dir, 'replica'), library),
    redis: await SetClocks.at(join(dir, 'redis'), library),
    remove: () => rm(dir, { recursive: true, force: true }),
  };
}

class Life {
  readonly fleet: LiveFleet;
  readonly #redis: RedisFleet;
  readonly #machine: Machine;
  readonly #log: string[];
  #restarts = 0;

  private constructor(redis: RedisFleet, { machine, seed, hasCopies, clocks }: LifeFacts) {
    const log: string[] = [];
    this.#log = log;
    this.#redis = redis;
    this.#machine = machine;
    const execArgv = [`--import=${STALLING}`];
    const env = clocks?.replica.env;
    this.fleet = new LiveFleet(redis, {
      chances: new Chances(seed),
      sets: [SNAPSHOT_EVERY, ...(hasCopies ? ['store.failover=true'] : [])],
      process: (name) => ({
        execArgv,
        ...(name === SET_CLOCK && env !== undefined ? { env } : {}),
      }),
      clocks,
      say: (line) => log.push(line),
    });
    if (clocks !== undefined) this.fleet.apart.add(SET_CLOCK);
  }

  static async begin(seed: number, machine: Machine, hasCopies: boolean): Promise<Life> {
    const disk = machine.hasMounts ? await machine.mount(64) : undefined;
    const port = await freePort();
    const args = [
      ...['--enable-debug-command', 'yes'],
      ...(disk === undefined ? [] : ['--dir', disk]),
      ...(hasCopies ? masterArgs(port) : []),
    ];
    const clocks = await clocksFor(machine);
    const env = clocks?.redis.env ?? {};
    const redis = await RedisFleet.start({ lease: `${LEASE_MS}ms`, redis: { args, env } });
    const life = new Life(redis, { machine, seed, hasCopies, clocks });
    const { fleet } = life;
    try {
      if (hasCopies) fleet.copies = await RedisCopies.follow(redis, port);
      if (machine.hasMounts) await machine.mount(24, join(redis.dir, SMALL_DISK));
      for (const name of ['r1', 'r2', 'r3']) await fleet.add(name);
      if (!(await life.#isHealed(fleet.mint(), 60_000)))
        throw new Error(`the fleet does not begin:\n${await life.#states()}`);
      // Whoever has just come watches the others for a lease before it says anything by acknowledgements.
      await sleep(hasCopies ? 2 * SPLIT_MS : BOUND_MS);
      return life;
    } catch (error) {
      await life.close();
      throw error;
    }
  }

  async round({ faults }: Round): Promise<RoundOutcome> {
    const { fleet } = this;
    const { chances, replicas } = fleet;
    const from = fleet.revoked.length;
    const credentials = Array.from({ length: 4 }, () => fleet.mint());
    await sleep(WARM_UP_MS);
    const rate =
      fleet.asked.filter(({ answeredMs }) => answeredMs > fleet.nowMs - WARM_UP_MS).length /
      (WARM_UP_MS / 1000);
    const [calm, first, second, last] = credentials as [string, string, string, string];
    // One while nothing is the matter.
    await timely(fleet.revoke(replicas[chances.below(3)]!, calm, true), 'a revocation while all is well');

    const begun: { readonly fault: LiveFault; readonly begun: Begun; readonly endMs: number }[] = [];
    const isOfStore = faults.some(({ fault }) => fault.isOfStore === true);
    const victims = faults.map(({ victim }) => replicas[victim]!);
    for (const { fault, victim, forMs } of faults) {
      const replica = replicas[victim]!;
      fleet.say(`${fault.row} ${fault.name}${fault.isOfStore === true ? '' : `: ${replica.name}`}`);
      if (fault.forgets === true) fleet.forgotMs = Infinity;
      begun.push({
        fault,
        begun: await timely(fault.begin(fleet, replica), fault.name),
        endMs: fleet.nowMs + forMs,
      });
    }
    const others = replicas.filter((one) => !victims.includes(one));
    await sleep(chances.between(0, 300));
    void fleet.revoke(chances.of(others) ?? replicas[0]!, first, !isOfStore);
    await sleep(chances.between(0, 600));
    void fleet.revoke(chances.of(replicas)!, second, false);
    for (const { begun: one, endMs, fault } of begun) {
      await sleep(Math.max(0, endMs - fleet.nowMs));
      await timely(one.end(), `the end of: ${fault.name}`);
      fleet.say(`no longer ${fault.name}`);
    }
    // Who comes back does so between a reading and what is judged by it.
    void fleet.revoke(chances.of(fleet.running) ?? replicas[0]!, last, false);
    const healedMs = await this.#heal(faults.some(({ fault }) => fault.needsRestart === true));
    const isForgetful = faults.some(({ fault }) => fault.forgets === true);
    if (isForgetful) fleet.forgotMs = fleet.nowMs;
    const orders = fleet.revoked.slice(from);
    await this.#untilEnforced(orders);
    // What is enforced is asked for a while longer.
    await sleep(500);
    fleet.retire(credentials);
    const seen: RoundOutcome['faults'][number][] = [];
    for (const { fault, begun: one } of begun) seen.push({ fault, isSeen: await one.seen() });
    const judged = judge(fleet.asked, orders);
    const vacuities = [
      ...seen.filter(({ isSeen }) => !isSeen).map(({ fault }) => `no effect was seen of: ${fault.name}`),
      ...(rate < RATE_MIN ? [`${rate.toFixed(0)} requests a second before the fault`] : []),
      ...(orders.every((order) => isAskedAfter(fleet, order))
        ? []
        : ['something was not asked for on every replica after it was enforced']),
      ...(judged.inFlight === 0 ? ['no request was on its way when anything became enforced'] : []),
      ...(judged.counted < credentials.length
        ? [`${judged.counted} of ${credentials.length} were enforced after five allows by two replicas`]
        : []),
    ];
    fleet.violations.push(...judged.violations);
    fleet.say(`round over: ${[...judged.violations, ...vacuities].join('; ') || 'counted'}`);
    return { faults: seen, vacuities, healedMs };
  }

  /** By itself; by a restart of Redis where that is said to be needed; by an operator's word where `/readyz` asks for it. */
  async #heal(mayRestart: boolean): Promise<number> {
    const { fleet } = this;
    const beganMs = fleet.nowMs;
    const fresh = fleet.mint();
    try {
      if (await this.#isHealed(fresh, HEALING_MS)) return fleet.nowMs - beganMs;
      if (mayRestart) {
        this.#restarts += 1;
        fleet.say('an operator restarts Redis');
        await fleet.redis.stop('SIGKILL');
        await fleet.redis.begin();
        if (await this.#isHealed(fresh, HEALING_MS)) return fleet.nowMs - beganMs;
      }
      await this.#acceptAmnesia();
      if (!(await this.#isHealed(fresh, HEALING_MS)))
        fleet.violations.push(`STUCK: an operator has said the word\n${await this.#states()}`);
      return fleet.nowMs - beganMs;
    } finally {
      fleet.retire([fresh]);
    }
  }

  async #acceptAmnesia(): Promise<void> {
    const { fleet } = this;
    fleet.isAmnesiac = true;
    const states = await this.#states();
    fleet.say(states);
    if (!states.includes('writ epoch open'))
      fleet.violations.push(`STUCK: and nobody says what to do\n${states}`);
    const [first] = fleet.running;
    if (first === undefined) return;
    const body = { rule: 'accept-amnesia', reason: 'a live run' };
    const reply = await control(first.running, '/v1/epoch', { body });
    fleet.say(`an operator opens an epoch on ${first.name}: ${reply.status} ${reply.text}`);
  }

  /** Everyone permits what nobody has revoked. Who is down is started, and who says that it has to be is restarted, as a supervisor does. */
  async #isHealed(fresh: string, forMs: number): Promise<boolean> {
    const { fleet } = this;
    const beganMs = fleet.nowMs;
    // How long a process takes to start is the machine's.
    while (fleet.nowMs < Math.max(beganMs, fleet.startedMs) + forMs) {
      const healed = await Promise.all(fleet.replicas.map((one) => this.#isWell(one, fresh)));
      if (healed.every(Boolean)) return true;
      await sleep(50);
    }
    return false;
  }

  async #isWell(replica: LiveReplica, fresh: string): Promise<boolean> {
    const { fleet } = this;
    if (replica.process === undefined) await fleet.start(replica);
    if ((await Promise.race([fleet.ask(replica, fresh), sleep(2_000, 'silent')])) === 'permitted')
      return true;
    if (!/restart (it|this replica)/.test(await readinessOf(replica))) return false;
    fleet.say(`${replica.name} says that it has to be restarted`);
    await fleet.kill(replica);
    await fleet.start(replica);
    return false;
  }

  async #untilEnforced(orders: LiveFleet['revoked']): Promise<void> {
    const { fleet } = this;
    const endMs = fleet.nowMs + HEALING_MS;
    const left = () => orders.filter(({ enforcedMs }) => enforcedMs === undefined);
    while (left().length > 0 && fleet.nowMs < endMs) await sleep(25);
    for (const { credential, answered, by } of left())
      fleet.violations.push(
        `STUCK: all is well, and ${credential} is ${answered ?? 'not answered'} by ${by}`,
      );
  }

  async #states(): Promise<string> {
    const states = this.fleet.replicas.map(async (one) => `${one.name}: ${await readinessOf(one)}`);
    return (await Promise.all(states)).join('\n');
  }

  async conclude(rounds: readonly RoundOutcome[], historyDir: string): Promise<LifeOutcome> {
    const { fleet } = this;
    const isWell = fleet.violations.length === 0;
    const kept = isWell ? await readAll(fleet) : { stable: 0, lost: 0, neverRead: 0, windowsMs: [] };
    const receipts = isWell ? await checkReceipts(fleet) : 0;
    const lines = isWell ? await checkLedgers(fleet) : 0;
    const judged = judge(fleet.asked, fleet.revoked);
    const history = await this.#write(historyDir);
    return {
      ...kept,
      ...{ rounds, receipts, lines, history },
      violations: [...new Set([...fleet.violations, ...judged.violations])],
      decisions: fleet.asked.filter(({ reason }) => reason !== 'unknown').length,
      tookMs: fleet.nowMs,
      revocations: fleet.revoked.length,
      enforced: judged.enforced,
      counted: judged.counted,
      inFlight: judged.inFlight,
      worstMs: judged.worstMs,
      isAmnesiac: fleet.isAmnesiac,
      restarts: this.#restarts,
      log: this.#log,
    };
  }

  async #write(directory: string): Promise<string> {
    await mkdir(directory, { recursive: true });
    const path = join(directory, `live-${Date.now()}.jsonl`);
    const file = createWriteStream(path);
    const ns = (ms: number): string => String(Math.round(ms * 1e6));
    for (const one of this.fleet.asked)
      file.write(
        `${JSON.stringify({ proc: 'caller', op: 'check', cred: one.credential, sidecar: one.incarnation, t_inv: ns(one.sentMs), t_cmp: ns(one.answeredMs), result: one.reason })}\n`,
      );
    for (const one of this.fleet.revoked)
      file.write(
        `${JSON.stringify({ proc: 'responder', op: 'revoke', cred: one.credential, sidecar: one.by, t_inv: ns(one.sentMs), t_cmp: one.enforcedMs === undefined ? null : ns(one.enforcedMs), result: one.answered ?? 'unknown' })}\n`,
      );
    for (const line of this.#log) file.write(`${JSON.stringify({ proc: 'nemesis', text: line })}\n`);
    await new Promise((resolve) => file.end(resolve));
    return path;
  }

  async close(): Promise<void> {
    await this.fleet.close();
    await this.fleet.copies?.remove();
    await this.#machine.unmountAll();
    await this.#redis.remove();
    await this.fleet.clocks?.remove();
  }
}

/** A harness that waits for ever shows nothing. Long enough for processes to start on a machine that is busy. */
async function timely<T>(work: Promise<T>, what: string): Promise<T> {
  const late = new AbortController();
  const timer = sleep(TOO_LONG_MS, undefined, { signal: late.signal }).then(() => {
    throw new Error(`this does not come to an end: ${what}`);
  });
  timer.catch(() => undefined);
  try {
    return await Promise.race([work, timer]);
  } finally {
    late.abort();
  }
}

function isAskedAfter(
  { asked, replicas }: LiveFleet,
  { credential, enforcedMs = Infinity }: Revoked,
): boolean {
  const after = asked.filter((one) => one.credential === credential && one.sentMs > enforcedMs);
  return replicas.every(({ name }) => after.some(({ replica }) => replica === name));
}

async function readinessOf({ process }: LiveReplica): Promise<string> {
  if (process === undefined) return 'it does not run';
  const asked = call(`${process.urls.diagnostics}/readyz`).then(
    ({ text }) => text,
    (error: unknown) => String(error),
  );
  return Promise.race([asked, sleep(2_000, 'silent')]);
}
