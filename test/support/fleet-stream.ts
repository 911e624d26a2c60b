/**
 * A great many revoked targets streamed into a fleet while it is asked, and a replica that comes to it cold: what a scene
 * asserts and a benchmark prints. Each bulk of a thousand holds one target whose token is really presented.
 */
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import type { BulkPlan } from './bulk-caller.ts';
import type { FleetToken, RedisFleet } from './redis-fleet.ts';
import { evaluate, eventually, jtiOrder, reasonOf, revoke } from './scene.ts';
import type { WritProcess, WritProcessOptions } from './writ-process.ts';

export const BULK = 1_000;

export interface AskedFleet {
  /** Milliseconds an answer took, all replicas, the shortest first. */
  readonly tookMs: number[];
  /** Answers that were not what they had to be: reason and replica. */
  readonly wrong: string[];
}

/** Asks every replica in turn, of one that is dead and one that is not, until `isOver`. */
export async function askAll(
  replicas: readonly WritProcess[],
  { dead, alive }: { readonly dead: FleetToken; readonly alive: FleetToken },
  isOver: () => boolean,
): Promise<AskedFleet> {
  const asked: AskedFleet = { tookMs: [], wrong: [] };
  const ask = async (one: WritProcess, { token }: FleetToken, wanted: string): Promise<void> => {
    const sentMs = performance.now();
    const reason = reasonOf(await evaluate(one, token));
    asked.tookMs.push(performance.now() - sentMs);
    if (reason !== wanted) asked.wrong.push(`${String(reason)} ${one.urls.data}`);
  };
  const all = replicas.map(async (one) => {
    while (!isOver()) {
      await ask(one, alive, 'permitted');
      await ask(one, dead, 'revoked');
      await sleep(5);
    }
  });
  await Promise.all(all);
  asked.tookMs.sort((left, right) => left - right);
  return asked;
}

/** Appends `targets` in bulks, `atOnce` of them under way and no more targets than `perSecond`; resolves to the tokens that are in them, one of each. */
export async function streamBulks(
  fleet: RedisFleet,
  by: WritProcess,
  {
    targets,
    atOnce = 2,
    perSecond = Infinity,
  }: { readonly targets: number; readonly atOnce?: number; readonly perSecond?: number },
): Promise<readonly FleetToken[]> {
  const tokens = Array.from({ length: targets / BULK }, () => fleet.mint());
  const { urls, adminToken } = by;
  const plan: BulkPlan = {
    by: { urls, adminToken },
    tokens,
    size: BULK,
    atOnce,
    perSecond: perSecond / BULK,
  };
  // An error in it rejects.
  await once(new Worker(new URL('bulk-caller.ts', import.meta.url), { workerData: plan }), 'message');
  return tokens;
}

/** Starts a replica and says how long it took until it allowed something. */
export async function startCold(
  fleet: RedisFleet,
  name: string,
  set: readonly string[] = [],
  process: Partial<WritProcessOptions> = {},
): Promise<{ readonly replica: WritProcess; readonly tookMs: number }> {
  const sentMs = performance.now();
  const replica = await fleet.replica(name, set, process);
  const ask = async (): Promise<unknown> => reasonOf(await evaluate(replica, fleet.mint().token));
  const reason = await eventually(ask, (answer) => answer === 'permitted', 120_000);
  if (reason !== 'permitted') throw new Error(`${name} does not come: ${String(reason)}`);
  return { replica, tookMs: performance.now() - sentMs };
}

/** A token that is dead everywhere. */
export async function killedToken(fleet: RedisFleet, by: WritProcess): Promise<FleetToken> {
  const token = fleet.mint();
  // A coordinator that has just come watches for a lease first.
  const { body } = await revoke(by, jtiOrder(token, { waitMs: 30_000 }));
  if (body['state'] !== 'enforced') throw new Error(`it is ${String(body['state'])}`);
  return token;
}
