/** `/v1/status` and `/v1/config`: the verdict is no better than what it stands on, and no secret is in either. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { renderPosition } from '../../src/feed/position.ts';
import { Overview } from '../../src/http/overview.ts';
import { compile } from '../edges/opa/bundles.ts';
import { fork } from '../support/forking-store.ts';
import { InProcessWrit, registration } from '../support/in-process.ts';
import { enforce, jti, startPair } from '../support/memory-fleet.ts';
import { orderOf } from '../support/replica-harness.ts';
import { pass } from '../support/replicas.ts';

let dir: string;
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'writ-overview-'));
});
afterAll(() => rm(dir, { recursive: true, force: true }));

async function statusOf(writ: InProcessWrit): Promise<Record<string, unknown>> {
  const reply = await writ.control('/v1/status');
  expect(reply.status).toBe(200);
  return reply.body;
}

describe('the status', () => {
  it('is well when every check is good and nothing is left to be looked after', async () => {
    const writ = await InProcessWrit.open();
    try {
      expect(await statusOf(writ)).toMatchObject({
        verdict: 'well',
        fleet: 'default',
        replica: 'gw-1',
        dataUrl: writ.writ.urls.data,
        replicasLive: 1,
        replicasFenced: 0,
        sessions: 0,
        sessionsEnding: 0,
        revocationsOpen: 0,
        lateAccepts: 0,
      });
    } finally {
      await writ.remove();
    }
  });

  it('has loose ends while sessions are still to be decided again', async () => {
    const bundle = join(dir, 'slow.tar.gz');
    const entrypoints = ['writ/authz/decision'];
    await writeFile(bundle, await compile({ rego: 'package writ.authz\ndecision := true\n', entrypoints }));
    const writ = await InProcessWrit.open({ sets: [`policy.bundle=${bundle}`, 'policy.watch=false'] });
    try {
      const token = await writ.mint();
      const open = () => writ.data('/v1/sessions', { body: registration(token) });
      await Promise.all(Array.from({ length: 300 }, open));
      const pairs = 'some x in numbers.range(1, 50); some y in numbers.range(1, 50); x * y > now';
      const rego = `package writ.authz\nnow := input.now - input.now\ndecision if count([1 | ${pairs}]) > 0\n`;
      await writeFile(bundle, await compile({ rego, entrypoints }));
      expect((await writ.control('/v1/policy/reload', { body: {} })).body).toMatchObject({ state: 'loaded' });
      expect(await statusOf(writ)).toMatchObject({ verdict: 'ready, with loose ends', reviewsOwed: 1 });
      await expect
        .poll(() => statusOf(writ), { timeout: 10_000 })
        .toMatchObject({ verdict: 'well', reviewsOwed: 0 });
    } finally {
      await writ.remove();
    }
  });

  it('has loose ends while a session was told to end and did not say that it has', async () => {
    const writ = await InProcessWrit.open();
    try {
      const token = await writ.mint();
      const opened = await writ.data('/v1/sessions', { body: registration(token) });
      const body = { selector: { kind: 'token', value: token }, waitMs: 10_000 };
      const revoked = await writ.control('/v1/revocations', { body });
      expect(revoked.body['state']).toBe('partial');
      const status = await statusOf(writ);
      expect(status).toMatchObject({
        verdict: 'ready, with loose ends',
        sessionsEnding: 1,
        revocationsOpen: 1,
        looseEnds: [
          `${String(revoked.body['id'])} is partial; it waits for 1 session of ${String(status['replica'])} not known to have ended`,
        ],
      });
      await writ.data(`/v1/sessions/${String(opened.body['id'])}/closed`, { method: 'POST' });
      const askedAgain = async (): Promise<unknown> => {
        await writ.control(`/v1/revocations/${String(revoked.body['id'])}`);
        return (await statusOf(writ))['verdict'];
      };
      await expect.poll(askedAgain, { timeout: 5_000 }).toBe('well');
    } finally {
      await writ.remove();
    }
  });

  it('has a loose end where another replica was shown another ledger, and says which and up to where', async () => {
    const { clock, a, b } = await startPair();
    await enforce(a, 'j1');
    const hidden = a.ledger.lines.find(({ sealed }) => sealed.entry.kind === 'revocation')!.sealed;
    fork(b, hidden, ({ sealed }) => sealed.text.includes('"j2"'));
    const order = orderOf({ targets: [jti('j2')], wait: 'durable' });
    const { id, position } = await a.revoker.revoke(order);
    await pass(clock, 1_000);
    const { identity, surveyor, cosigner, view, cursor, sessions, revoker, lastAccepts, snapshots } = a;
    const { body } = new Overview({
      ...{ identity, surveyor, cosigner, view, cursor, sessions, revoker, lastAccepts, snapshots },
      settings: [],
      version: '0',
      readiness: () => [],
      reloader: { lastFailure: undefined },
      storeWeakens: [],
      linesLost: () => 0,
      isOwingReviews: () => false,
      dataUrl: () => 'http://127.0.0.1:8181',
    }).status();
    const { incarnation } = b.identity;
    expect(body).toMatchObject({
      verdict: 'ready, with loose ends',
      ledgersForked: 1,
      looseEnds: [
        `${id} is durable; it waits for b`,
        `the ledger is forked: b (${incarnation}) has another one up to ${renderPosition(position)}`,
      ],
    });
  });

  it('is not ready, although it answers, where no epoch is open, and says what is missing', async () => {
    const writ = await InProcessWrit.open({ dev: false });
    try {
      const { verdict, checks } = await statusOf(writ);
      expect(verdict).toBe('not ready');
      expect(checks).toContainEqual({
        name: 'epoch',
        ok: false,
        detail:
          'none is open: in a new fleet, once, writ epoch open --new-fleet; in one that has decided anything, start a replica that has its data first',
      });
    } finally {
      await writ.remove();
    }
  });
});

describe('the configuration it runs with', () => {
  const CANARY = 'canary-7f1c9e';

  it('holds no secret of any source: not of the query of a URL, a variable, a key file, or the admin token', async () => {
    const fleetKey = Buffer.alloc(32, 7).toString('base64url');
    const fleetKeyFile = join(dir, 'fleet-key');
    await writeFile(fleetKeyFile, `${fleetKey}\n`, { mode: 0o600 });
    const writ = await InProcessWrit.open({
      fileText: `issuers: [{ issuer: "https://idp.example", audiences: [api], jwks: { url: "http://127.0.0.1:2/jwks?key=${CANARY}" } }]`,
      sets: [`fleetKeyFile=${fleetKeyFile}`, 'lease=2s'],
    });
    try {
      const reply = await writ.control('/v1/config');
      expect(reply.status).toBe(200);
      const { settings } = reply.body as { settings: { key: string; value: unknown; from: string }[] };
      expect(settings).toContainEqual({ key: 'lease', value: '2s', from: '--set lease' });
      expect(settings).toContainEqual({
        key: 'fleetKeyFile',
        value: fleetKeyFile,
        from: '--set fleetKeyFile',
      });
      expect(settings.find(({ key }) => key === 'issuers')?.value).toMatchObject([
        { jwks: { url: 'http://127.0.0.1:2/jwks?redacted' } },
      ]);
      const secrets = [
        CANARY,
        fleetKey,
        writ.adminToken,
        await readFile(join(writ.dataDir, 'admin-token'), 'utf8'),
      ];
      for (const secret of secrets) {
        expect(reply.text).not.toContain(secret.trim());
        expect((await writ.control('/v1/status')).text).not.toContain(secret.trim());
      }
      expect(writ.log).not.toContain(CANARY);
      // Why keys cannot be had is in the log by the word of the system.
      await expect
        .poll(() => writ.log, { timeout: 5_000 })
        .toMatch(/"detail":"ECONNREFUSED".*could not be fetched/);
    } finally {
      await writ.remove();
    }
  });

  it.each(['/v1/config', '/v1/status'])('%s is for callers only', async (path) => {
    const writ = await InProcessWrit.open();
    try {
      expect((await writ.control(path, { token: '' })).status).toBe(401);
      expect((await writ.control(path, { token: 'writ_admin_wrong' })).status).toBe(401);
    } finally {
      await writ.remove();
    }
  });
});
