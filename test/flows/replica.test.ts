import { describe, expect, it } from 'vitest';
import { sealEntry } from '../../src/feed/entry.ts';
import type { Target } from '../../src/feed/entry.ts';
import { renderPosition } from '../../src/feed/position.ts';
import { Authoriser } from '../../src/flows/authorise.ts';
import { WritError } from '../../src/kernel/error.ts';
import { signingKeyOf } from '../../src/kernel/key.ts';
import { FakeClock, settle } from '../support/fake-time.ts';
import { MemoryFeedServer } from '../support/memory-feed-store.ts';
import type { TestReplica } from '../support/replica-harness.ts';
import { ISSUER, LEASE_MS, MemoryLedger, orderOf, requestOf, tokenOf } from '../support/replica-harness.ts';
import { makeReplica as make, pass } from '../support/replicas.ts';

const NOW_S = 1_800_000_000;
const jti = (value: string): Target => ({ kind: 'jti', issuer: ISSUER, value });

const outside = {
  policy: 'sha256:test',
  skewBackMs: 0,
  issuersWithoutKeys: [],
  targets: 0,
  isRecording: undefined,
};

describe('joining', () => {
  it('opens an empty store by itself only where that was configured', async () => {
    const open = await make().start();
    expect(open.lease.isFresh(open.clock.now())).toBe(true);
    expect(open.replica.readiness(outside).every(({ ok }) => ok)).toBe(true);
    const closed = await make({ bootstrap: false }).start();
    expect(closed.lease.isFresh(closed.clock.now())).toBe(false);
    expect(closed.log.at(-1)?.sentence).toContain('no epoch is open');
    const bad = closed.replica.readiness({
      ...outside,
      skewBackMs: 1_500,
      issuersWithoutKeys: ['https://x'],
      targets: 3,
    });
    expect(bad.filter(({ ok }) => !ok).map(({ name }) => name)).toEqual(['keys', 'store', 'epoch', 'lease']);
    expect(bad.at(-1)?.detail).toMatch(/, 3 revoked targets; the clock is 2 s behind/);
    const one = closed.replica.readiness({ ...outside, targets: 1 });
    expect(one.at(-1)?.detail).toMatch(/, 1 revoked target$/);
  });

  it('goes on at once when an operator opens an epoch, and only one can be opened', async () => {
    const replica = await make({ bootstrap: false }).start();
    expect(replica.replica.whyClosed).toBe(
      'none is open: in a new fleet, once, writ epoch open --new-fleet; in one that has decided anything, start a replica that has its data first',
    );
    const epochId = await replica.replica.openEpoch('new-fleet');
    await settle();
    expect(replica.replica.whyClosed).toBeUndefined();
    expect(replica.cursor.epochId).toBe(epochId);
    expect(replica.lease.isFresh(replica.clock.now())).toBe(true);
    await expect(replica.replica.openEpoch('new-fleet')).rejects.toMatchObject({ code: 'ALREADY_OPEN' });
  });

  it('is said to wait for a store in the words of the store, and to be weaker in its own', async () => {
    const replica = make();
    replica.store.roster = () =>
      Promise.reject(new WritError('STORE_UNREACHABLE', 'ask for `writ store init`'));
    await replica.start();
    const store = (facts = {}) => {
      const checks = replica.replica.readiness({ ...outside, ...facts });
      return checks.find(({ name }) => name === 'store')?.detail;
    };
    expect(store()).toBe('starting; ask for `writ store init`');
    expect(replica.log.map(({ detail }) => detail)).toContain('ask for `writ store init`');
    const server = await make().start();
    server.store.renew = () => Promise.reject(new WritError('STORE_UNREACHABLE', 'away'));
    await pass(server.clock, 600);
    const said = server.replica.readiness({ ...outside, weakened: ['no fsync'] });
    expect(said.find(({ name }) => name === 'store')?.detail).toBe('unreachable; away; no fsync');
  });

  it('finds by itself the epoch that another replica opened', async () => {
    const clock = new FakeClock();
    const server = new MemoryFeedServer();
    const late = await make({ clock, server, name: 'b', bootstrap: false }).start();
    await make({ clock, server }).start();
    await pass(clock, 2_000);
    expect(late.lease.isFresh(clock.now())).toBe(true);
  });

  it('loses to whoever opened the epoch first', async () => {
    const clock = new FakeClock();
    const server = new MemoryFeedServer();
    const a = make({ clock, server });
    const b = make({ clock, server, name: 'b' });
    await a.store.open();
    await b.store.open();
    a.store.next('openEpoch', 'hold-request');
    const lost = a.joiner.open('bootstrap');
    lost.catch(() => undefined);
    await settle();
    await b.joiner.open('bootstrap');
    server.release();
    await expect(lost).rejects.toMatchObject({ code: 'ALREADY_OPEN' });
  });

  it('opens a store whose loss this disk remembers as the whole of its roster, with all that it had', async () => {
    const first = await make().start();
    const { ledger } = first;
    const next = await make({ clock: first.clock, ledger, seed: 2 }).start();
    expect(next.cursor.epochId).not.toBe(first.cursor.epochId);
    expect(next.lease.isFresh(next.clock.now())).toBe(true);
    const rules = next.server.lines.flatMap(({ sealed: { entry } }) =>
      entry.kind === 'epoch' ? [entry.rule] : [],
    );
    expect(rules).toEqual(['bootstrap', 'roster']);
  });

  it('names the run whose disk it goes on with', async () => {
    const first = await make().start();
    const next = await make({
      clock: first.clock,
      server: first.server,
      ledger: first.ledger,
      seed: 2,
    }).start();
    expect(next.members.lookup('inc_a1')?.state).toBe('succeeded');
    expect(next.members.lookup('inc_a2')?.state).toBe('joined');
  });

  it('says when the store does not answer, and tries again', async () => {
    const replica = make();
    for (let i = 0; i < 3; i++) replica.store.next('roster', 'lose-request');
    await replica.start();
    expect(replica.lease.isFresh(replica.clock.now())).toBe(false);
    await pass(replica.clock, 2_000);
    expect(replica.lease.isFresh(replica.clock.now())).toBe(true);
  });

  it('says when something unforeseen is in the way', async () => {
    const replica = make();
    replica.store.roster = () => Promise.reject(new Error('odd'));
    await replica.start();
    expect(replica.log).toContainEqual({
      level: 'error',
      sentence: 'the feed could not be joined',
      code: 'INTERNAL',
      detail: 'something unforeseen happened',
    });
  });
});

describe('leaving', () => {
  it('fences first, then says so', async () => {
    const replica = await make().start();
    await replica.stop();
    expect(replica.lease.isFresh(replica.clock.now())).toBe(false);
    expect(replica.server.lines.at(-1)?.sealed.entry).toMatchObject({
      kind: 'replica',
      event: 'left',
      incarnation: 'inc_a1',
    });
  });

  it('goes without a word when the store does not take it', async () => {
    for (const error of [undefined, new Error('odd')]) {
      const replica = await make().start();
      if (error === undefined) replica.store.next('append', 'lose-request');
      else replica.store.append = () => Promise.reject(error);
      await replica.stop();
      expect(replica.log.at(-1)).toMatchObject({ sentence: 'leaving could not be said' });
    }
  });
});

describe('a renewal', () => {
  it('counts its lease from when it was sent', async () => {
    const replica = await make().start();
    replica.store.next('renew', 'hold-reply');
    await pass(replica.clock, 2_000);
    expect(replica.lease.freshForMs(replica.clock.now())).toBeLessThan(LEASE_MS - 50 - 1_500);
    replica.server.release();
    await settle();
    expect(replica.lease.freshForMs(replica.clock.now())).toBeLessThanOrEqual(LEASE_MS - 50 - 1_000);
  });

  it('acknowledges at once what a barrier waits for, and the coming of an outcome with the next one', async () => {
    const { server, clock, cursor, revoker } = await make().start();
    await pass(clock, 600);
    let renewals = 0;
    const said: string[] = [];
    const renew = server.renew.bind(server);
    server.renew = (request) => {
      renewals += 1;
      const [, payload = ''] = (request.acknowledgement ?? '').split('.');
      const { position } = JSON.parse(Buffer.from(payload, 'base64url').toString()) as { position: string };
      if (said.at(-1) !== position) said.push(position);
      return renew(request);
    };
    const before = renderPosition(cursor.position);
    const { state, position } = await revoker.revoke(orderOf({ targets: [jti('j1')] }));
    await settle();
    expect(state).toBe('enforced');
    expect(cursor.position.sequence).toBe(position.sequence + 1);
    // One brings the revocation, one acknowledges it, one brings the outcome.
    expect([renewals, said]).toEqual([3, [before, renderPosition(position)]]);
    await pass(clock, LEASE_MS / 6);
    expect(said.at(-1)).toBe(renderPosition(cursor.position));
  });

  it('adopts no lease before what it brought is on disk', async () => {
    const replica = await make().start();
    await settle();
    const disk = Promise.withResolvers<void>();
    replica.ledger.onKeep = () => disk.promise;
    const before = replica.lease.freshForMs(replica.clock.now());
    const order = replica.revoker.revoke(orderOf({ targets: [jti('j1')], waitMs: 100 }));
    await settle();
    await pass(replica.clock, 1_000);
    expect(replica.lease.freshForMs(replica.clock.now())).toBe(before - 1_000);
    // Already in the index, though: nothing is allowed on it meanwhile.
    expect(replica.checker.check(requestOf(tokenOf('billing', 'j1', NOW_S)))).toMatchObject({
      reason: 'revoked',
    });
    disk.resolve();
    await pass(replica.clock, 200);
    expect(replica.lease.freshForMs(replica.clock.now())).toBeGreaterThan(before - 1_000);
    await order;
  });

  it('that could not put what it brought on disk is the last one: the view is torn for good', async () => {
    const replica = await make().start();
    await settle();
    replica.ledger.fails = true;
    await replica.revoker.revoke(orderOf({ targets: [jti('j1')], wait: 'durable' }));
    await settle();
    expect(replica.lease.isFresh(replica.clock.now())).toBe(false);
    replica.ledger.fails = false;
    await pass(replica.clock, 2_000);
    expect(replica.lease.isFresh(replica.clock.now())).toBe(false);
    expect(replica.renewer.state).toBe('unreachable');
  });

  it('that fails is logged once for each reason, for a few of them, and again after a good one', async () => {
    const replica = await make().start();
    await settle();
    const renew = replica.store.renew.bind(replica.store);
    const said = () =>
      replica.log.filter(({ sentence }) => sentence === 'no lease was renewed').map(({ detail }) => detail);
    const failWith = async (...reasons: string[]): Promise<void> => {
      for (const reason of reasons) {
        replica.store.renew = () => Promise.reject(new WritError('STORE_UNREACHABLE', reason));
        await replica.renewer.renewOnce();
      }
    };
    await failWith('away', 'away', 'LOADING', 'away', 'LOADING');
    expect(said()).toEqual(['away', 'LOADING']);
    await failWith(...Array.from({ length: 20 }, (_, i) => `reason ${i}`));
    expect(said()).toHaveLength(8);
    replica.store.renew = renew;
    await replica.renewer.renewOnce();
    await failWith('away');
    expect(said().slice(8)).toEqual(['away']);
  });

  it('that brings another history fences at once', async () => {
    const replica = await make().start();
    const renew = replica.store.renew.bind(replica.store);
    replica.store.renew = async (request) => {
      const reply = await renew(request);
      return reply.kind === 'lease' ? { ...reply, lines: replica.server.lines.slice(0, 1) } : reply;
    };
    await pass(replica.clock, 600);
    expect(replica.renewer.state).toBe('diverged');
    expect(replica.lease.isFresh(replica.clock.now())).toBe(false);
  });

  it('that finds the store broken fences at once; one that gets no answer waits for the lease to run out', async () => {
    const broken = await make().start();
    broken.store.renew = () => Promise.reject(new WritError('STORE_BROKEN', 'broken'));
    await pass(broken.clock, 600);
    expect(broken.lease.isFresh(broken.clock.now())).toBe(false);
    const silent = await make().start();
    silent.store.renew = () => Promise.reject(new WritError('STORE_UNREACHABLE', 'away'));
    await pass(silent.clock, 600);
    expect(silent.lease.isFresh(silent.clock.now())).toBe(true);
    await pass(silent.clock, 3_000);
    expect(silent.lease.isFresh(silent.clock.now())).toBe(false);
  });

  it('forgives any number of lost replies', async () => {
    const replica = await make().start();
    for (let i = 0; i < 40; i++) replica.store.next('renew', 'lose-reply');
    await pass(replica.clock, 30_000);
    expect(replica.renewer.state).toBe('lease');
    expect(replica.lease.isFresh(replica.clock.now())).toBe(true);
  });

  it('that is refused drops the lease', async () => {
    const replica = await make().start();
    replica.store.renew = () => Promise.resolve({ kind: 'stale', reason: 'cloned' });
    await pass(replica.clock, 600);
    expect(replica.renewer.state).toBe('cloned');
    expect(replica.lease.isFresh(replica.clock.now())).toBe(false);
  });

  it('asks for page after page before there is a lease', async () => {
    const clock = new FakeClock();
    const server = new MemoryFeedServer();
    const a = await make({ clock, server }).start();
    a.closing.abort();
    for (let i = 0; i < 1_100; i++)
      await a.appender.append(
        a.appender.seal({
          id: `rev_${i}`,
          kind: 'revocation',
          targets: [jti(`j${i}`)],
          caller: 'admin',
          body: '',
        }),
      );
    await settle();
    const b = await make({ clock, server, name: 'b' }).start();
    await pass(clock, 1_000);
    expect(b.view.size).toBe(1_100);
    expect(b.lease.isFresh(clock.now())).toBe(true);
  });

  it('survives a wake-up that fails', async () => {
    const replica = await make().start();
    replica.store.wake = () => Promise.reject(new Error('odd'));
    await pass(replica.clock, 2_000);
    expect(replica.lease.isFresh(replica.clock.now())).toBe(true);
  });
});

describe('an entry', () => {
  it('that nobody with a key signed has a place in the history and no effect, and it is said', async () => {
    const replica = await make().start();
    const stranger = signingKeyOf(new Uint8Array(32).fill(99));
    const facts = { v: 1, at: new Date(NOW_S * 1000).toISOString(), caller: 'admin', body: '' } as const;
    for (const by of ['inc_a1', 'inc_nobody']) {
      const forged = sealEntry(
        { ...facts, id: `rev_${by}`, kind: 'revocation', by, targets: [jti('j1')] },
        stranger,
      );
      await replica.appender.append(forged);
    }
    await settle();
    expect(replica.cursor.position.sequence).toBe(4);
    expect(replica.tree.size).toBe(4);
    expect(replica.view.size).toBe(0);
    expect(replica.log.filter(({ sentence }) => sentence.includes('without a valid signature'))).toHaveLength(
      2,
    );
  });

  it('outside the tree has no proof', async () => {
    const replica = await make().start();
    expect(() => replica.tree.proof({ epoch: replica.cursor.position.epoch, sequence: 99 })).toThrow(
      'no such leaf',
    );
    expect(() => replica.tree.proof({ epoch: 1, sequence: 1 })).toThrow('no such leaf');
    expect(replica.tree.frontier(1)).toHaveLength(1);
  });

  it('of an earlier run is replayed from this disk, and a damaged disk is not', async () => {
    const first = await make().start();
    await first.revoker.revoke(orderOf({ targets: [jti('j1')], wait: 'durable' }));
    await settle();
    const next = make({ clock: first.clock, server: first.server, ledger: first.ledger, seed: 2 });
    await next.joiner.replay();
    expect(next.view.size).toBe(1);
    const torn = new MemoryLedger();
    torn.lines.push(...first.ledger.lines.slice(1));
    await expect(make({ ledger: torn, seed: 3 }).joiner.replay()).rejects.toMatchObject({
      code: 'PROOF_INVALID',
    });
  });
});

describe('a caller of the control plane', () => {
  const scopes = { 'writ:read': 'read', 'writ:subject': 'revoke:subject' } as const;

  async function authoriser(): Promise<{ authoriser: Authoriser; replica: TestReplica }> {
    const replica = await make().start();
    const { verifier, view, lease, policy, clock } = replica;
    return {
      replica,
      authoriser: new Authoriser({ adminToken: 'wat_secret', verifier, scopes, view, lease, policy, clock }),
    };
  }
  const bearer = (token: string) => ({ scheme: 'Bearer', token }) as const;
  const scoped = (scope: string) => `${tokenOf('ops', 'c1', NOW_S)}|${scope}`;

  it('with the admin token may do everything', async () => {
    const { authoriser: one } = await authoriser();
    const admin = await one.authenticate(bearer('wat_secret'));
    for (const need of [{ act: 'read' }, { act: 'administer' }, { act: 'revoke', what: 'all' }] as const)
      one.authorise(admin, need);
    expect(admin.id).toBe('admin');
  });

  it('with a scope may do what it covers, and no more', async () => {
    const { authoriser: one } = await authoriser();
    const caller = await one.authenticate(bearer(scoped('writ:subject toString')));
    expect(caller.id).toBe(`${ISSUER}|ops`);
    one.authorise(caller, { act: 'revoke', what: 'token' });
    one.authorise(caller, { act: 'revoke', what: 'subject' });
    for (const need of [{ act: 'read' }, { act: 'administer' }, { act: 'revoke', what: 'client' }] as const) {
      expect(() => one.authorise(caller, need)).toThrow(
        expect.objectContaining({ code: 'FORBIDDEN' }) as Error,
      );
    }
    one.authorise(await one.authenticate(bearer(scoped('writ:read'))), { act: 'read' });
    const none = await one.authenticate(bearer(tokenOf('ops', 'c1', NOW_S)));
    expect(() => one.authorise(none, { act: 'read' })).toThrow(
      expect.objectContaining({ code: 'FORBIDDEN' }) as Error,
    );
  });

  it('is asked about by policy, where the bundle has the rule', async () => {
    const { authoriser: one, replica } = await authoriser();
    const caller = await one.authenticate(bearer(scoped('writ:read')));
    replica.policy.control = false;
    expect(() => one.authorise(caller, { act: 'read' })).toThrow(
      expect.objectContaining({ code: 'FORBIDDEN' }) as Error,
    );
    replica.policy.control = true;
    one.authorise(caller, { act: 'read' });
  });

  it('commands nothing when refused, revoked, or not known to be alive', async () => {
    const { authoriser: one, replica } = await authoriser();
    await expect(one.authenticate(bearer('bad'))).rejects.toMatchObject({ code: 'UNAUTHENTICATED' });
    replica.lease.drop();
    await expect(one.authenticate(bearer(scoped('writ:read')))).rejects.toMatchObject({ code: 'FENCED' });
    await replica.renewer.renewOnce();
    await replica.revoker.revoke(orderOf({ targets: [jti('c1')], wait: 'durable' }));
    await settle();
    await expect(one.authenticate(bearer(scoped('writ:read')))).rejects.toMatchObject({
      code: 'UNAUTHENTICATED',
    });
  });
});
