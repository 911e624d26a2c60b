/**
 * A fleet whose Redis fails over, by real Sentinels: the epoch closes and is opened again on the new master, what was
 * enforced stays dead, and every bound has in it how long a master that was replaced may go on.
 */
import { readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { EPS_MS, enforcedByWaitMs } from '../../src/feed/lease.ts';
import { freePort } from '../support/free-port.ts';
import { RedisFleet } from '../support/redis-fleet.ts';
import { RedisServer } from '../support/redis-server.ts';
import { runCli } from '../support/run-cli.ts';
import {
  control,
  contextOf,
  evaluate,
  eventually,
  jtiOrder,
  reasonOf,
  revoke,
  statementOf,
  untilPermitted,
} from '../support/scene.ts';
import { SENTINEL_PASSWORD, Sentinels } from '../support/sentinels.ts';
import type { WritProcess } from '../support/writ-process.ts';

const SCENE_MS = 120_000;
const MAX_LAG_S = 3;
const BOUND_MS = enforcedByWaitMs({ leaseMs: 2_000, epsMs: EPS_MS, splitMs: (MAX_LAG_S + 2) * 1_000 });

let fleet: RedisFleet;
const others: { remove(): Promise<void> }[] = [];
afterEach(async () => {
  await fleet.remove();
  for (const other of others.splice(0)) await other.remove();
});

async function reasonAt(writ: WritProcess, { token }: { token: string }): Promise<unknown> {
  return reasonOf(await evaluate(writ, token));
}

async function epochOf(writ: WritProcess): Promise<number> {
  const { position } = contextOf(await evaluate(writ, fleet.mint().token));
  return Number(String(position).split('-')[0]);
}

describe('a fleet behind Sentinels', () => {
  it.each<['dies' | 'hangs', NodeJS.Signals]>([
    ['dies', 'SIGKILL'],
    ['hangs', 'SIGSTOP'],
  ])(
    'goes on in another epoch when the master %s: what was enforced stays dead, and more can be enforced',
    async (_, signal) => {
      const sentinels = await Sentinels.start(2, ['--min-replicas-max-lag', String(MAX_LAG_S)]);
      others.push(sentinels);
      const { dir, ports, servers } = sentinels;
      await writeFile(join(dir, 'writ.pass'), 'change-me\n');
      await writeFile(join(dir, 'init.pass'), 'change-me-too\n');
      await writeFile(join(dir, 'sentinel.pass'), `${SENTINEL_PASSWORD}\n`);
      const sets = [
        'store.url=redis://writ@writ',
        `store.passwordFile=${join(dir, 'writ.pass')}`,
        `store.sentinel.passwordFile=${join(dir, 'sentinel.pass')}`,
        `store.sentinel.urls=${JSON.stringify(ports.map((port) => `redis://127.0.0.1:${port}`))}`,
      ];
      const asSets = ['store.kind=redis', ...sets].flatMap((one) => ['--set', one]);
      const user = ['--user', 'writ-init', '--password-file', join(dir, 'init.pass')];
      expect(await runCli(['store', 'init', ...asSets, ...user])).toMatchObject({ code: 0, problems: '' });

      fleet = await RedisFleet.start({ lease: '2s', server: servers[0]!.redis });
      const replicas = [await fleet.replica('r1', sets), await fleet.replica('r2', sets)];
      const [first] = replicas as [WritProcess, WritProcess];
      const dead = fleet.mint();
      for (const writ of replicas) expect(await untilPermitted(writ, dead.token)).toBe('permitted');
      expect((await revoke(first, jtiOrder(dead, { waitMs: 30_000 }))).body).toMatchObject({
        state: 'enforced',
        boundMs: BOUND_MS,
      });
      const before = await epochOf(first);

      servers[0]!.redis.signal(signal);
      for (const writ of replicas)
        expect(
          await eventually(
            async () => {
              expect(await reasonAt(writ, dead)).toBe('revoked');
              return reasonAt(writ, fleet.mint());
            },
            (reason) => reason === 'fenced',
            20_000,
          ),
        ).toBe('fenced');
      for (const writ of replicas)
        expect(
          await eventually(
            async () => {
              expect(await reasonAt(writ, dead)).toBe('revoked');
              return reasonAt(writ, fleet.mint());
            },
            (reason) => reason === 'permitted',
            40_000,
          ),
        ).toBe('permitted');
      expect(await epochOf(first)).toBeGreaterThan(before);
      expect(servers.slice(1).map(({ port }) => port)).toContain(await sentinels.masterPort());

      const next = fleet.mint();
      for (const writ of replicas) expect(await untilPermitted(writ, next.token)).toBe('permitted');
      const { body } = await revoke(first, jtiOrder(next, { waitMs: 30_000 }));
      expect(body).toMatchObject({ state: 'enforced', boundMs: BOUND_MS, replicas: [{}, {}] });
      for (const writ of replicas)
        for (const one of [dead, next]) expect(await reasonAt(writ, one)).toBe('revoked');
      const receipt = (await control(first, String(body['receipt']))).text;
      expect(statementOf(receipt)).toMatchObject({ boundMs: BOUND_MS });

      if (signal !== 'SIGSTOP') return;
      // The master of before wakes, and believes for a moment that it still is: nobody is allowed anything by it.
      servers[0]!.redis.signal('SIGCONT');
      const role = () => servers[0]!.redis.ask((redis) => redis.info('replication'));
      const isDemoted = (info: string) => info.includes('role:slave');
      expect(
        await eventually(
          async () => {
            for (const writ of replicas) expect(await reasonAt(writ, next)).toBe('revoked');
            return role();
          },
          isDemoted,
          20_000,
        ),
      ).toSatisfy(isDemoted);
      for (const writ of replicas) expect(await untilPermitted(writ, fleet.mint().token)).toBe('permitted');
    },
    SCENE_MS,
  );
});

describe('a master that was replaced and does not know', () => {
  it(
    'is no proof: nothing is signed as enforced on its word, however long it is waited',
    async () => {
      const port = String(await freePort());
      const settings = ['--min-replicas-to-write', '1', '--min-replicas-max-lag', '2'];
      const soon = ['--repl-diskless-sync-delay', '0'];
      fleet = await RedisFleet.start({
        lease: '2s',
        redis: { args: ['--port', port, ...settings, ...soon] },
      });
      const copy = await RedisServer.start(['--replicaof', '127.0.0.1', port]);
      others.push(copy);
      await eventually(
        () => fleet.redis.ask((redis) => redis.info('replication')),
        (info) => info.includes('min_slaves_good_slaves:1'),
        30_000,
      );
      const proxy = await fleet.proxy();
      const first = await fleet.replica('r1', ['store.failover=true']);
      const second = await fleet.replica('r2', ['store.failover=true', `store.url=unix:${proxy.path}`]);
      const token = fleet.mint();
      expect(await untilPermitted(second, token.token)).toBe('permitted');
      // It cannot acknowledge, so it is waited for by the clock.
      proxy.hold('up', 'down');
      const order = revoke(first, jtiOrder(token, { waitMs: 10_000 }));
      await eventually(
        () => reasonAt(first, token),
        (reason) => reason === 'revoked',
      );
      await copy.ask((redis) => redis.replicaof('NO', 'ONE'));
      const { body } = await order;
      expect(Number(body['boundMs'])).toBeLessThan(10_000);
      expect(body['state']).not.toBe('enforced');
      const id = String(body['id']);
      const receipts = await readdir(join(first.dataDir, 'receipts')).catch(() => []);
      expect(receipts.filter((file) => file.includes(id))).toEqual([]);
      // The same master with its replica back is one again.
      await copy.ask((redis) => redis.replicaof('127.0.0.1', Number(port)));
      const state = async () => (await control(first, `/v1/revocations/${id}`)).body['state'];
      expect(await eventually(state, (word) => word === 'enforced', 30_000)).toBe('enforced');
    },
    SCENE_MS,
  );
});
