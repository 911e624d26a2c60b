/** A Redis that was killed reads all that it has before it answers again: until then it says LOADING to everything. */
import { once } from 'node:events';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, expect, it } from 'vitest';
import { call } from '../support/client.ts';
import { RedisFleet } from '../support/redis-fleet.ts';
import { evaluate, eventually, jtiOrder, reasonOf, revoke, untilPermitted } from '../support/scene.ts';
import type { WritProcess } from '../support/writ-process.ts';

const fleets: RedisFleet[] = [];
afterEach(async () => {
  for (const fleet of fleets.splice(0)) await fleet.remove();
});

/** So many commands in its file, each of which takes it so many microseconds: several leases. It answers once in a thousand of them. */
const COMMANDS = 80_000;
const SLOWLY = ['--key-load-delay', '50'];
const SOON_MS = 2_000;
const NAMED = 'Redis refuses: LOADING Redis is loading the dataset in memory';

/** Over a connection of its own, because a client library would wait until it is loaded. Nothing where nobody answers. */
async function say(path: string, commands: string, isWhole: (said: string) => boolean): Promise<string> {
  const socket = connect(path).setEncoding('utf8');
  let said = '';
  socket.on('data', (text: string) => {
    said += text;
    if (isWhole(said)) socket.destroy();
  });
  socket.write(commands);
  await once(socket, 'close').catch(() => undefined);
  return said;
}

async function isLoaded({ redis }: RedisFleet): Promise<boolean> {
  const said = await say(redis.socket, 'INFO persistence\r\n', (text) => /^loading:\d/m.test(text));
  return /^loading:0/m.test(said);
}

/** The epoch that a replica goes by, where it has a lease of it. */
async function epochOf({ urls }: WritProcess): Promise<string | undefined> {
  const { body } = await call(`${urls.diagnostics}/readyz`);
  const checks = body['checks'] as { name: string; ok: boolean; detail: string }[];
  const of = (name: string) => checks.find((one) => one.name === name);
  return of('store')?.detail.startsWith('lease;') === true ? of('epoch')?.detail : undefined;
}

/** Kills Redis and starts it: what callers are answered until all replicas go on in the next epoch, and how long that takes from when it has loaded. */
async function restart(fleet: RedisFleet, replicas: readonly WritProcess[], live: string, dead: string) {
  const [before] = await Promise.all(replicas.map(epochOf));
  const answers = new Set<string>();
  const ask = async (one: WritProcess): Promise<void> => {
    answers.add(`live: ${String(reasonOf(await evaluate(one, live)))}`);
    answers.add(`dead: ${String(reasonOf(await evaluate(one, dead)))}`);
  };
  let loadedMs: number | undefined;
  await fleet.redis.stop('SIGKILL');
  const begun = fleet.redis.begin();
  for (;;) {
    if (loadedMs === undefined && (await isLoaded(fleet))) loadedMs = performance.now();
    await Promise.all(replicas.map(ask));
    const epochs = await Promise.all(replicas.map(epochOf));
    if (epochs.every((one) => one !== undefined && one !== before)) break;
    await sleep(10);
  }
  const nowMs = performance.now();
  await begun;
  return { answers: [...answers].sort(), tookMs: nowMs - (loadedMs ?? nowMs) };
}

it(
  'a fleet says nothing wrong while Redis loads, names it, and goes on as soon as it has',
  { timeout: 120_000 },
  async () => {
    const fleet = await RedisFleet.start({ redis: { args: SLOWLY } });
    fleets.push(fleet);
    const replicas = await Promise.all(['r1', 'r2'].map((name) => fleet.replica(name)));
    const [first] = replicas as [WritProcess, WritProcess];
    const [live, dead, late] = [fleet.mint(), fleet.mint(), fleet.mint()];
    for (const one of replicas) expect(await untilPermitted(one, live.token)).toBe('permitted');
    expect((await revoke(first, jtiOrder(dead))).body).toMatchObject({ state: 'enforced' });
    // What this machine needs at all, where there is little to load.
    const plain = await restart(fleet, replicas, live.token, dead.token);

    const isFilled = (text: string): boolean => text.includes(`:${COMMANDS}\r\n`);
    await say(fleet.redis.socket, 'INCR filler\r\n'.repeat(COMMANDS), isFilled);
    const meanwhile = async (): Promise<void> => {
      while (!first.log.some((line) => line.includes(NAMED))) await sleep(25);
      // By the store's word, or by its own where its lease is over: nothing was done.
      const { status, text } = await revoke(first, jtiOrder(late));
      expect([status, text]).toEqual([503, expect.stringMatching(/LOADING|holds no lease/)]);
      const readyz = async () => (await call(`${first.urls.diagnostics}/readyz`)).text;
      const isNamed = (said: string): boolean => said.includes(`unreachable; ${NAMED}`);
      expect(await eventually(readyz, isNamed)).toSatisfy(isNamed);
      const said = /ended with 1 .*STORE_UNREACHABLE: Redis refuses: LOADING/s;
      await expect(fleet.replica('r3')).rejects.toThrow(said);
    };
    const again = restart(fleet, replicas, live.token, dead.token);
    const [{ answers, tookMs }] = await Promise.all([again, meanwhile()]);

    expect(answers).toEqual(['dead: revoked', 'live: fenced', 'live: permitted']);
    expect(tookMs).toBeLessThan(Math.max(SOON_MS, 4 * plain.tookMs));
    for (const { log } of replicas) expect(log.filter((line) => line.includes(NAMED))).toHaveLength(1);
    // The order that was refused was not carried out, and is now.
    for (const one of replicas) expect(reasonOf(await evaluate(one, late.token))).toBe('permitted');
    expect((await revoke(first, jtiOrder(late))).body).toMatchObject({ state: 'enforced' });
  },
);
