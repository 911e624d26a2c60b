/**
 * What an operator of a fleet sees and does: `writ replicas`, forgetting, `writ status`, `writ drill`, by the real command
 * against replicas in processes of their own on one real Redis.
 */
import { afterEach, describe, expect, it } from 'vitest';
import { runCliInProcess } from '../support/cli-in-process.ts';
import { RedisFleet } from '../support/redis-fleet.ts';
import type { CliRun } from '../support/run-cli.ts';
import { evaluate, eventually, reasonOf, untilPermitted } from '../support/scene.ts';
import type { WritProcess } from '../support/writ-process.ts';

const SCENE_MS = 120_000;

let fleet: RedisFleet;
afterEach(() => fleet.remove());

async function startThree(set: readonly string[] = []): Promise<[WritProcess, WritProcess, WritProcess]> {
  fleet = await RedisFleet.start();
  return [await letIn('r1', set), ...(await Promise.all([letIn('r2', set), letIn('r3', set)]))];
}

/** Started, and with its first lease. */
async function letIn(name: string, set: readonly string[] = []): Promise<WritProcess> {
  const writ = await fleet.replica(name, set);
  expect(await untilPermitted(writ, fleet.mint().token)).toBe('permitted');
  return writ;
}

function cli({ urls, dataDir }: WritProcess, args: readonly string[], input = ''): Promise<CliRun> {
  const where = ['--url', urls.control, '--token-file', `${dataDir}/admin-token`];
  return runCliInProcess([...args, ...where], { input });
}

const json = ({ out }: CliRun): Record<string, unknown> => JSON.parse(out) as Record<string, unknown>;

interface Row {
  readonly replica: string;
  readonly incarnation: string;
  readonly state: string;
  readonly self: boolean;
  readonly lag?: number;
  readonly freshForMs?: number;
  readonly mayAllowForMs?: number;
  readonly fencedSince?: string;
  readonly clock?: { readonly aheadMs: number; readonly withinMs: number };
}

async function rowsOf(writ: WritProcess): Promise<readonly Row[]> {
  const run = await cli(writ, ['replicas']);
  expect(run).toMatchObject({ code: 0, problems: '' });
  return json(run)['replicas'] as Row[];
}

const states = (rows: readonly Row[]): string[] => rows.map(({ replica, state }) => `${replica} ${state}`);

function untilStates(writ: WritProcess, ...wanted: string[]): Promise<readonly Row[]> {
  return eventually(
    () => rowsOf(writ),
    (rows) => states(rows).join() === wanted.join(),
    20_000,
  );
}

/** The verdict is asked until it is as wanted; the exit code goes with it. */
async function untilStatus(writ: WritProcess, code: number): Promise<Record<string, unknown>> {
  const run = await eventually(
    () => cli(writ, ['status']),
    (one) => one.code === code,
    20_000,
  );
  expect(run.code).toBe(code);
  return json(run);
}

describe('writ replicas', () => {
  it(
    'shows each with its lease, lag and clock; one that is stopped is fenced since a time, and live again after',
    async () => {
      const [first, , third] = await startThree();
      const rows = await untilStates(first, 'r1 live', 'r2 live', 'r3 live');
      expect(states(rows)).toEqual(['r1 live', 'r2 live', 'r3 live']);
      expect(rows[0]).toMatchObject({ self: true, lag: 0, freshForMs: expect.any(Number) as number });
      expect(rows[1]).toMatchObject({ self: false, mayAllowForMs: expect.any(Number) as number });
      // It has acknowledged the joining of r3 while r1 watched, and all of them have one clock.
      const { aheadMs = NaN, withinMs = NaN } = rows[1]?.clock ?? {};
      expect(aheadMs).toBeLessThanOrEqual(0);
      expect(aheadMs + withinMs).toBeGreaterThanOrEqual(-1_000);
      process.kill(third.pid, 'SIGSTOP');
      const stopped = (await untilStates(first, 'r1 live', 'r2 live', 'r3 fenced'))[2];
      expect(stopped?.state).toBe('fenced');
      expect(Date.parse(stopped?.fencedSince ?? '')).toBeLessThanOrEqual(Date.now());
      process.kill(third.pid, 'SIGCONT');
      expect(states(await untilStates(first, 'r1 live', 'r2 live', 'r3 live'))).toContain('r3 live');
    },
    SCENE_MS,
  );

  it(
    'tells a process that was killed and restarted from two that go by one name, and lets neither share a data directory',
    async () => {
      const [first, second] = await startThree();
      const before = (await rowsOf(first)).find(({ replica }) => replica === 'r2')?.incarnation;
      await second.kill('SIGKILL');
      const again = await fleet.replica('r2');
      // The incarnation that was killed goes when its lease is surely over; its successor stays.
      const rows = await untilStates(first, 'r1 live', 'r2 live', 'r3 live');
      expect(states(rows)).toEqual(['r1 live', 'r2 live', 'r3 live']);
      expect(rows[1]?.incarnation).not.toBe(before);
      const beside = await fleet.replica('other', ['replica=r2']);
      const twice = await untilStates(first, 'r1 live', 'r2 live', 'r2 live', 'r3 live');
      expect(states(twice)).toEqual(['r1 live', 'r2 live', 'r2 live', 'r3 live']);
      expect(twice[1]?.incarnation).not.toBe(twice[2]?.incarnation);
      const status = json(await cli(first, ['status']));
      expect(status).toMatchObject({ verdict: 'ready, with loose ends', namesShared: 1 });
      expect(status['looseEnds']).toEqual([
        `r2 is the name of ${twice[1]?.incarnation} and of ${twice[2]?.incarnation}, which run at the same time: give each a name of its own`,
      ]);
      expect(await untilStates(beside, 'r1 live', 'r2 live', 'r2 live', 'r3 live')).toHaveLength(4);
      await expect(fleet.replica('r2')).rejects.toThrow(/DATA_DIR_LOCKED/);
      await again.kill('SIGTERM');
      expect(states(await untilStates(first, 'r1 live', 'r2 live', 'r3 live'))).toHaveLength(3);
    },
    SCENE_MS,
  );
});

describe('a replica that is gone for good', () => {
  it(
    'is forgotten by itself; what is left of it comes back as a newcomer that denies what was enforced meanwhile',
    async () => {
      const [first, , third] = await startThree(['rosterForget=3s']);
      const token = fleet.mint();
      process.kill(third.pid, 'SIGSTOP');
      expect(states(await untilStates(first, 'r1 live', 'r2 live'))).toEqual(['r1 live', 'r2 live']);
      const revoked = await cli(first, ['revoke', 'jti', token.jti, '--issuer', token.issuer]);
      expect(json(revoked)).toMatchObject({ state: 'enforced' });
      process.kill(third.pid, 'SIGCONT');
      const said = await eventually(
        () => cli(third, ['status']),
        ({ out }) => out.includes('forgotten'),
      );
      expect(said.code).toBe(4);
      expect(said.out).toContain('forgotten: this incarnation is given no lease ever again; restart it');
      expect(reasonOf(await evaluate(third, fleet.mint().token))).toBe('fenced');
      expect(third.log.join('\n')).toContain('this incarnation is fenced for good: restart it');
      await third.kill('SIGKILL');
      const again = await fleet.replica('r3', ['rosterForget=3s']);
      expect(reasonOf(await evaluate(again, token.token))).toBe('revoked');
      expect(reasonOf(await evaluate(again, fleet.mint().token))).toBe('permitted');
    },
    SCENE_MS,
  );

  it(
    'is forgotten on an operator’s word once its lease is surely over; in a closed epoch nobody is, and it says what to do',
    async () => {
      const [first, second, third] = await startThree();
      const alive = await cli(first, ['replicas', 'forget', 'r3']);
      expect(alive.code).toBe(1);
      expect(alive.problems).toMatch(/409: STILL_LEASED.*its lease may be good for \d+ ms yet/);
      await third.kill('SIGKILL');
      await untilStates(first, 'r1 live', 'r2 live', 'r3 fenced');
      const forgotten = await cli(first, ['replicas', 'forget', 'r3', '--reason', 'scrapped']);
      expect(forgotten).toMatchObject({ code: 0, problems: '' });
      expect(json(forgotten)).toMatchObject({ forgotten: [expect.stringMatching(/^inc_/)], kept: [] });
      expect(states(await untilStates(first, 'r1 live', 'r2 live'))).toEqual(['r1 live', 'r2 live']);
      const ledger = await cli(first, ['ledger']);
      expect(ledger.out).toMatch(/"caller":"admin","event":"forgotten".*"reason":"scrapped","replica":"r3"/);
      expect((await cli(first, ['replicas', 'forget', 'r3'])).problems).toContain('404: NOT_FOUND');
      // One of the roster is gone, and by the time the store is back nobody is a witness of its end.
      await second.kill('SIGKILL');
      await fleet.redis.stop('SIGKILL');
      await eventually(
        async () => reasonOf(await evaluate(first, fleet.mint().token)),
        (reason) => reason === 'fenced',
      );
      const fenced = await cli(first, ['revoke', 'jti', 'x', '--issuer', 'https://idp.example']);
      expect(fenced.problems).toBe(
        '503: FENCED: this replica holds no lease: /readyz says why\nnothing was recorded; another replica, where there is one, may take it (--url)\n',
      );
      await fleet.redis.begin();
      const closed = await eventually(
        () => cli(first, ['replicas', 'forget', 'r2']),
        ({ problems }) => problems.includes('EPOCH_CLOSED'),
      );
      expect(closed.problems).toContain('/readyz says whom it waits for');
      const waiting = await eventually(
        () => untilStatus(first, 4),
        (status) => JSON.stringify(status).includes('it waits for'),
      );
      expect(waiting['checks']).toContainEqual({
        name: 'epoch',
        ok: false,
        detail: expect.stringMatching(/it waits for r2$/) as string,
      });
      const refused = await cli(first, ['revoke', 'jti', 'x', '--issuer', 'https://idp.example']);
      expect(refused.problems).toMatch(/^503: FENCED: .* \(ep_\S+ is closed; it waits for r2\)\n/);
      expect(waiting['looseEnds']).toContainEqual(
        expect.stringMatching(/^r2 .* is unknown: no reading of it here is recent enough to tell$/),
      );
    },
    SCENE_MS,
  );
});

describe('the last replica with a lease', () => {
  it(
    'may be gone with its disk: a new one waits, says what for, and goes on when amnesia is accepted',
    async () => {
      fleet = await RedisFleet.start();
      const first = await fleet.replica('r1');
      const token = fleet.mint();
      expect((await cli(first, ['revoke', 'jti', token.jti, '--issuer', token.issuer])).code).toBe(0);
      await first.kill('SIGKILL');
      const second = await fleet.replica('r2');
      const waiting = await untilStatus(second, 4);
      expect(waiting['checks']).toContainEqual({
        ...{ name: 'store', ok: false },
        detail: expect.stringMatching(
          /^awaiting: nobody with a lease has acknowledged this replica yet/,
        ) as string,
      });
      expect((await cli(second, ['replicas', 'forget', 'r1'])).problems).toMatch(
        /503: FENCED.*readyz says why/,
      );
      const opening = ['epoch', 'open', '--accept-amnesia', '--reason', 'its disk is gone'];
      expect((await cli(second, opening)).code).toBe(0);
      await eventually(
        async () => reasonOf(await evaluate(second, fleet.mint().token)),
        (reason) => reason === 'permitted',
      );
      expect(reasonOf(await evaluate(second, fleet.mint().token))).toBe('permitted');
      expect(reasonOf(await evaluate(second, token.token))).toBe('revoked');
      expect((await cli(second, opening)).problems).toContain('409: ALREADY_OPEN');
    },
    SCENE_MS,
  );
});

describe('writ status', () => {
  it(
    'is well with all of them, has a loose end by name while one is stopped, is not ready without Redis, and well again',
    async () => {
      const [first, , third] = await startThree();
      const well = await untilStatus(first, 0);
      expect(well).toMatchObject({ verdict: 'well', replicasLive: 3, replicasFenced: 0, looseEnds: [] });
      process.kill(third.pid, 'SIGSTOP');
      await untilStates(first, 'r1 live', 'r2 live', 'r3 fenced');
      const loose = await untilStatus(first, 3);
      expect(loose).toMatchObject({ verdict: 'ready, with loose ends', replicasLive: 2, replicasFenced: 1 });
      expect(loose['looseEnds']).toEqual([expect.stringMatching(/^r3 \(inc_\S+\) is fenced since 20/)]);
      process.kill(third.pid, 'SIGCONT');
      await untilStatus(first, 0);
      await fleet.redis.stop('SIGKILL');
      const down = await untilStatus(first, 4);
      expect(down['verdict']).toBe('not ready');
      await fleet.redis.begin();
      expect(await untilStatus(first, 0)).toMatchObject({ verdict: 'well', replicasLive: 3 });
    },
    SCENE_MS,
  );
});

describe('writ revoke', () => {
  it(
    'waits for as long as the server says that it may take, unless it is told how long; then it says how to wait on',
    async () => {
      fleet = await RedisFleet.start({ lease: '6s' });
      const [first, second] = [await fleet.replica('r1'), await fleet.replica('r2')];
      await untilStates(first, 'r1 live', 'r2 live');
      process.kill(second.pid, 'SIGSTOP');
      const order = (name: string, ...more: string[]) =>
        cli(first, ['revoke', 'jti', name, '--issuer', 'https://idp.example', ...more]);
      const [patient, hasty] = await Promise.all([order('patient'), order('hasty', '--wait-ms', '100')]);
      expect(hasty.code).toBe(4);
      const { id, state } = json(hasty) as Record<string, string>;
      expect(state).toBe('durable');
      expect(hasty.problems).toContain(
        `${id} is durable, not enforced yet: writ revocation ${id} --wait enforced waits on\n`,
      );
      expect(patient.code).toBe(0);
      const { boundMs, ...enforced } = json(patient);
      expect(boundMs).toBeGreaterThan(6_000);
      expect(enforced).toMatchObject({
        state: 'enforced',
        replicas: [{ state: 'acknowledged' }, { replica: 'r2', state: 'fenced' }],
      });
      process.kill(second.pid, 'SIGCONT');
    },
    SCENE_MS,
  );
});

describe('writ drill', () => {
  it(
    'proves with two tokens that no replica accepts a revoked one and that siblings pass, in a fleet of three',
    async () => {
      const replicas = await startThree();
      const [target, sibling] = [fleet.mint(), fleet.mint()];
      const probes = replicas.flatMap(({ urls }) => ['--probe', urls.data]);
      const what = ['--token', '-', '--action', 'read', '--resource', 'invoice:42', ...probes];
      const run = await cli(replicas[0], ['drill', ...what], `${target.token}\n${sibling.token}\n`);
      expect(run.problems).toBe('');
      const report = json(run);
      expect(report).toMatchObject({
        ...{
          closure: 'CLOSED',
          canary: 'given',
          state: 'enforced',
          lateAccepts: 0,
          refuted: [],
          notShown: [],
        },
        receipt: { rule: 'acknowledged' },
      });
      expect(run.code).toBe(0);
      expect((report['replicas'] as Row[]).map(({ replica, state }) => `${replica} ${state}`).sort()).toEqual(
        ['r1 acknowledged', 'r2 acknowledged', 'r3 acknowledged'],
      );
      for (const probe of report['probes'] as object[])
        expect(probe).toMatchObject({ before: 'permitted', after: 'revoked', control: 'permitted' });
      // The canary is dead for good; a second drill with it shows nothing of an acceptance before.
      const twice = await cli(replicas[0], ['drill', ...what], `${target.token}\n${sibling.token}\n`);
      expect(twice.code).toBe(3);
      expect(json(twice)['notShown']).toContain(
        `${replicas[0].urls.data}: that it was accepted before (revoked)`,
      );
    },
    SCENE_MS,
  );

  it(
    'is enforced with one that is stopped, which is fenced; without a credential it claims no more than was shown',
    async () => {
      const [first, second, third] = await startThree();
      process.kill(third.pid, 'SIGSTOP');
      const bare = await cli(first, ['drill']);
      expect(bare.code).toBe(3);
      const report = json(bare);
      expect(report).toMatchObject({ closure: 'PARTIAL', canary: 'random', state: 'enforced', probes: [] });
      expect(report['notShown']).toEqual([
        'that a credential was accepted before and is refused now: none was given (--token -)',
      ]);
      const stopped = (report['replicas'] as Row[]).find(({ replica }) => replica === 'r3');
      expect(stopped?.state).toBe('fenced');
      const [target, sibling] = [fleet.mint(), fleet.mint()];
      const probes = [first, second, third].flatMap(({ urls }) => ['--probe', urls.data]);
      const what = ['--token', '-', '--action', 'read', '--resource', 'invoice:42', ...probes];
      const probed = await cli(second, ['drill', ...what], `${target.token} ${sibling.token}`);
      expect(probed.code).toBe(3);
      expect(json(probed)['notShown']).toEqual([
        `${third.urls.data}: that it was accepted before (no answer)`,
        `${third.urls.data}: that it is refused as revoked (no answer)`,
        `${third.urls.data}: that a sibling passes (no answer)`,
      ]);
    },
    SCENE_MS,
  );

  it(
    'is refused where nothing can be revoked, and says why',
    async () => {
      fleet = await RedisFleet.start();
      const first = await letIn('r1');
      await fleet.redis.stop('SIGKILL');
      await untilStatus(first, 4);
      const run = await cli(first, ['drill']);
      expect(run).toMatchObject({ code: 1, out: '' });
      expect(run.problems).toMatch(/503: (FENCED|STORE_UNREACHABLE|EPOCH_CLOSED)/);
    },
    SCENE_MS,
  );
});
