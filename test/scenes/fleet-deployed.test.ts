/**
 * A fleet on a Redis as deploy/redis says it is run: over TCP, with its configuration, its users and a password file. What
 * is missing there is said by name, and `writ store init` puts it right.
 */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { makeAuthority, makeCertificate } from '../support/certificates.ts';
import { runCliInProcess } from '../support/cli-in-process.ts';
import { call } from '../support/client.ts';
import { freePort } from '../support/free-port.ts';
import { RedisFleet } from '../support/redis-fleet.ts';
import { RedisServer } from '../support/redis-server.ts';
import type { CliRun } from '../support/run-cli.ts';
import {
  control,
  evaluate,
  eventually,
  jtiOrder,
  reasonOf,
  revoke,
  statementOf,
  untilPermitted,
} from '../support/scene.ts';
import type { WritProcess } from '../support/writ-process.ts';
import { ROOT, makeDataDir, removeDataDir } from '../support/writ-process.ts';

const SCENE_MS = 60_000;
const CONF = `${ROOT}deploy/redis/redis.conf`;
/** For what no user of deploy/redis may: to ask how things are, and to break them. */
const ADMIN = 'user admin on nopass ~* &* +@all\n';

let work: string;
let fleet: RedisFleet;
let url: string;
beforeEach(async () => {
  work = await makeDataDir();
  const users = await readFile(`${ROOT}deploy/redis/users.acl`, 'utf8');
  await writeFile(join(work, 'users.acl'), users + ADMIN);
  await writeFile(join(work, 'writ.pass'), 'change-me\n');
  await writeFile(join(work, 'init.pass'), 'change-me-too\n');
});
afterEach(async () => {
  await fleet.remove();
  await removeDataDir(work);
});

/** Started with deploy/redis/redis.conf; only places and ports are others. */
async function start(...tls: readonly string[]): Promise<void> {
  const port = await freePort();
  url = `${tls.length === 0 ? 'redis' : 'rediss'}://writ@127.0.0.1:${port}`;
  const ports = [tls.length === 0 ? '--port' : '--tls-port', String(port)];
  const args = [...ports, '--aclfile', join(work, 'users.acl'), ...tls];
  fleet = await RedisFleet.start({
    lease: '2s',
    redis: { conf: CONF, args, auth: { username: 'admin', password: 'x' } },
  });
}

function replica(name: string, ...more: readonly string[]): Promise<WritProcess> {
  return fleet.replica(name, [`store.url=${url}`, `store.passwordFile=${join(work, 'writ.pass')}`, ...more]);
}

function init(...more: readonly string[]): Promise<CliRun> {
  const sets = ['--set', 'store.kind=redis', '--set', `store.url=${url}`];
  const user = ['--user', 'writ-init', '--password-file', join(work, 'init.pass')];
  return runCliInProcess(['store', 'init', ...sets, ...user, ...more], { cwd: work });
}

function outcomeOf(run: CliRun): unknown {
  expect(run).toMatchObject({ code: 0, problems: '' });
  return (JSON.parse(run.out) as Record<string, unknown>)['outcome'];
}

async function readiness(writ: WritProcess): Promise<string> {
  return (await call(`${writ.urls.diagnostics}/readyz`)).text;
}

const MISSING =
  'the Redis has no functions writ1, and this user may not load them: `writ store init` of this version does, as one who may';

describe('a fleet on the Redis of deploy/redis', () => {
  it(
    'enforces over TCP with the users there; without the functions, every replica says what to do',
    async () => {
      await start();
      await expect(replica('early')).rejects.toThrow(MISSING);
      expect(outcomeOf(await init())).toBe('loaded');
      expect(outcomeOf(await init())).toBe('there already');
      const [first, second] = [await replica('r1'), await replica('r2')];
      const token = fleet.mint();
      for (const writ of [first, second]) expect(await untilPermitted(writ, token.token)).toBe('permitted');
      const { body } = await revoke(first, jtiOrder(token));
      expect(body).toMatchObject({ state: 'enforced', replicas: [{}, {}] });
      for (const writ of [first, second]) expect(reasonOf(await evaluate(writ, token.token))).toBe('revoked');
      // Strict enough: nothing that the store could be blamed for is in the receipt.
      expect(statementOf((await control(first, String(body['receipt']))).text)).toMatchObject({
        weakened: ['bootstrap is on: an erased store may be taken for a new one'],
      });
      expect(first.log.join('\n')).not.toContain('the store weakens a promise');

      await fleet.redis.ask((redis) => redis.function('FLUSH'));
      const isSaid = (text: string): boolean => text.includes(MISSING);
      expect(await eventually(() => readiness(first), isSaid)).toContain(MISSING);
      expect(first.log.join('\n')).toContain(MISSING);
      expect(outcomeOf(await init())).toBe('loaded');
      const fresh = fleet.mint();
      expect(await untilPermitted(first, fresh.token)).toBe('permitted');
    },
    SCENE_MS,
  );

  it(
    'does not call functions of another build: a user who may replaces them, any other refuses to start',
    async () => {
      await start();
      const other =
        '#!lua name=writ1\nredis.register_function("writ1_roster", function() return "yes" end)\n';
      await fleet.redis.ask((redis) => redis.function('LOAD', other));
      await expect(replica('r1')).rejects.toThrow(
        'the Redis has, of another build, the functions writ1, and this user may not load them',
      );
      expect(outcomeOf(await init())).toBe('replaced another build');
      await replica('r1');
      await fleet.redis.ask((redis) => redis.function('LOAD', 'REPLACE', other));
      const second = await replica('r2', `store.url=${url.replace('writ@', 'admin@')}`);
      expect(second.log.join('\n')).toContain(
        'the functions in the store were those of another build, and were replaced',
      );
      expect(await untilPermitted(second, fleet.mint().token)).toBe('permitted');
      expect(outcomeOf(await init())).toBe('there already');
    },
    SCENE_MS,
  );

  it(
    'says what a replica of Redis weakens while nobody says whether it may take over; said, it demands what that takes',
    async () => {
      await start();
      const { port } = new URL(url);
      const as = ['--masteruser', 'writ-replica', '--masterauth', 'change-me-three'];
      const copy = await RedisServer.start(
        ['--aclfile', join(work, 'users.acl'), '--replicaof', '127.0.0.1', port, ...as],
        { conf: CONF, auth: { username: 'admin', password: 'x' } },
      );
      try {
        await eventually(
          () => copy.ask((redis) => redis.info('replication')),
          (info) => info.includes('master_link_status:up'),
          30_000,
        );
        await init();
        const writ = await replica('r1');
        expect(await readiness(writ)).toContain('store.failover is not set');
        const token = fleet.mint();
        expect(await untilPermitted(writ, token.token)).toBe('permitted');
        const { body } = await revoke(writ, jtiOrder(token));
        const receipt = (await control(writ, String(body['receipt']))).text;
        expect(statementOf(receipt)['weakened']).toContainEqual(
          expect.stringContaining('store.failover is not set'),
        );
        await expect(replica('r2', 'store.failover=true')).rejects.toThrow('min-replicas-to-write is 0');
      } finally {
        await copy.remove();
      }
    },
    SCENE_MS,
  );

  it(
    'enforces over TLS',
    async () => {
      const authority = makeAuthority(work, 'authority');
      const { certFile, keyFile } = makeCertificate(work, 'redis', authority, 'IP:127.0.0.1');
      const tls = ['--tls-cert-file', certFile, '--tls-key-file', keyFile];
      await start(...tls, '--tls-ca-cert-file', authority.certFile, '--tls-auth-clients', 'no');
      const trusted = `store.caFile=${authority.certFile}`;
      expect(outcomeOf(await init('--set', trusted))).toBe('loaded');
      const writ = await replica('r1', trusted);
      const token = fleet.mint();
      expect(await untilPermitted(writ, token.token)).toBe('permitted');
      expect((await revoke(writ, jtiOrder(token))).body).toMatchObject({ state: 'enforced' });
    },
    SCENE_MS,
  );
});

describe('writ store init', () => {
  it(
    'refuses a Redis that is not fit by the name of the setting, and says who could not be reached or let in',
    async () => {
      await start();
      await fleet.redis.ask((redis) => redis.config('SET', 'maxmemory-policy', 'allkeys-lru'));
      expect(await init()).toMatchObject({
        code: 1,
        out: '',
        problems:
          'CONFIG_INVALID: store.url: maxmemory-policy is allkeys-lru: it must be noeviction, or revocations are evicted\n',
      });
      await fleet.redis.ask((redis) => redis.config('SET', 'maxmemory-policy', 'noeviction'));
      expect(await init('--user', 'writ', '--password-file', join(work, 'writ.pass'))).toMatchObject({
        code: 1,
        problems: `CONFIG_INVALID: store.url: ${MISSING}\n`,
      });
      expect(await init('--user', 'writ')).toMatchObject({
        code: 1,
        problems: expect.stringMatching(
          /^STORE_UNREACHABLE: .*WRONGPASS.* \(user writ, with a password, at [^ ]+: see store.url and store.passwordFile\)$/m,
        ) as string,
      });
      await fleet.redis.stop();
      expect(await init()).toMatchObject({
        code: 1,
        problems: expect.stringMatching(/^STORE_UNREACHABLE: .*ECONNREFUSED/) as string,
      });
      expect(
        await runCliInProcess(['store', 'init', '--set', 'store.kind=journal'], { cwd: work }),
      ).toMatchObject({
        code: 1,
        problems: 'CONFIG_INVALID: store.kind must be redis: a journal needs no functions\n',
      });
      expect(
        await runCliInProcess(['store', 'init', '--set', 'store.kind=redis'], { cwd: work }),
      ).toMatchObject({
        code: 1,
        problems: 'CONFIG_INVALID: the store has problems:\nstore.url: must be there for the kind redis\n',
      });
    },
    SCENE_MS,
  );
});
