/** What nobody with a key has signed has a place in the history and no effect: not when it comes, and not after a restart. */
import { expect, it } from 'vitest';
import { NOW_S, OVER_MS, cut, enforce, isFresh, jti, reasonOf, startPair } from '../support/memory-fleet.ts';
import { orderOf } from '../support/replica-harness.ts';
import { readinessOf } from '../support/readiness.ts';
import { forget, makeReplica, pass, startSettled } from '../support/replicas.ts';
import { sealEntry } from '../../src/feed/entry.ts';
import type { EntryKind, UnsignedEntry } from '../../src/feed/entry.ts';
import type { Snapshot } from '../../src/feed/feed-store.ts';
import { renderPosition } from '../../src/feed/position.ts';
import { CHUNK, digesting } from '../../src/feed/snapshot.ts';
import { runAtOnce } from '../../src/kernel/pace.ts';
import { UNREADABLE, parseLines } from '../support/unreadable.ts';

it('a lift that a thief has appended lifts nothing, on a replica that is started again either', async () => {
  const { clock, server, a, b } = await startPair();
  const expiresAtMs = clock.now().wallMs + 3_600_000;
  const locking = a.revoker.revoke(orderOf({ targets: [jti('l')], expiresAtMs, waitMs: 30_000 }));
  await pass(clock, 3_000);
  const { id } = await locking;
  const facts = { id: 'lft_x', kind: 'lift', lock: id, untilS: NOW_S + 3_700, caller: 'x' } as const;
  const { text, entry } = b.appender.seal(facts);
  const sig = 'A'.repeat(86);
  const forged = { text: text.replace(/"sig":"[^"]*"/, `"sig":"${sig}"`), entry: { ...entry, sig } };
  await b.store.append(b.cursor.epochId as string, forged);
  await pass(clock, 2_000);
  expect(await reasonOf(b, 'l')).toBe('locked');
  forget(b);
  await b.stop();
  const common = { clock, server, exclusive: false, bootstrap: false };
  const again = await startSettled({ ...common, name: 'b', seed: 9, ledger: b.ledger });
  await pass(clock, 2_000);
  expect(isFresh(again)).toBe(true);
  expect(await reasonOf(again, 'l')).toBe('locked');
});

it('a line that is no entry stops the fleet, which says so, until the store restarts, and no longer', async () => {
  const { clock, server, a, b } = await startPair();
  for (const one of [a, b]) parseLines(one);
  await enforce(a, 'j1');
  server.append(a.cursor.epochId as string, UNREADABLE);
  await pass(clock, OVER_MS);
  expect([a, b].map(isFresh)).toEqual([false, false]);
  expect(readinessOf(a, 'store')).toContain('find out who else has its credential, then restart it');
  const c = await startSettled({ clock, server, name: 'c', seed: 9, exclusive: false, bootstrap: false });
  parseLines(c);
  server.restart();
  await pass(clock, OVER_MS);
  expect([a, b, c].map(isFresh)).toEqual([true, true, true]);
  for (const one of [a, b, c]) expect(await reasonOf(one, 'j1')).toBe('revoked');
  expect(server.lines.some(({ sealed }) => sealed.text === UNREADABLE.text)).toBe(false);
});

it('with the key of a replica alone, without that of the fleet, nobody lifts, grants, or calls enforced', async () => {
  const { clock, server, a, b } = await startPair();
  const expiresAtMs = clock.now().wallMs + 3_600_000;
  const lock = { targets: [jti('l')], expiresAtMs, wait: 'durable' } as const;
  const { id } = await a.revoker.revoke(orderOf(lock));
  await pass(clock, OVER_MS);
  cut(b, true);
  const revoked = await a.revoker.revoke(orderOf({ targets: [jti('r')], wait: 'durable' }));
  const reached = { matched: 0, killed: 0, unconfirmed: 0, receipt: 'f'.repeat(64) };
  const facts: readonly ({ kind: EntryKind } & Record<string, unknown>)[] = [
    { kind: 'lift', lock: id, untilS: NOW_S + 3_700, caller: 'x' },
    { kind: 'outcome', revocation: revoked.id, state: 'enforced', ...reached },
    {
      ...{ kind: 'grant', subject: { id: 'mallory' }, action: 'read', resource: { type: 'invoice' } },
      ...{ caller: 'x', body: 'b'.repeat(64) },
    },
  ];
  for (const [i, said] of facts.entries()) {
    const bound = said.kind === 'outcome' ? {} : { epochId: a.cursor.epochId };
    const by = { v: 1, ...bound, id: `x_${i}`, at: '2027-01-15T08:00:00.000Z', by: b.identity.incarnation };
    const sealed = sealEntry({ ...by, ...said } as UnsignedEntry, b.identity.key);
    server.append(a.cursor.epochId as string, sealed);
  }
  await pass(clock, 500);
  expect(await reasonOf(a, 'l')).toBe('locked');
  expect(a.effects.isUnfinished(revoked.id)).toBe(true);
  expect([...a.grants.folded()]).toEqual([]);
});

it('with the key of a replica alone nobody signs a snapshot that a newcomer begins at', async () => {
  const { clock, server, a, b } = await startPair({ snapshotEvery: 10, rosterForgetMs: 1_000 });
  await enforce(a, 'j1');
  forget(b);
  cut(b, true);
  await pass(clock, 10_000);
  expect(a.members.lookup('inc_b2')?.state).toBe('forgotten');
  for (let i = 0; i < 40; i++) {
    await a.revoker.revoke(orderOf({ targets: [jti(`g${i}`)], wait: 'durable' }));
    await pass(clock, 600);
  }
  const whole = server.readSnapshot() as Snapshot;
  const chunks = whole.chunks.filter(([kind]) => kind !== CHUNK.plain);
  const digest = runAtOnce(digesting(chunks), clock.now());
  const mark = renderPosition(whole.position);
  const by = { v: 1, id: 'snp_x', at: '2027-01-15T08:00:00.000Z', by: b.identity.incarnation } as const;
  const said = { ...by, kind: 'snapshot', mark, digest, sizeBytes: 1 } as const;
  const forged = { ...whole, digest, chunks, entry: sealEntry(said, b.identity.key).text };
  const newcomer = { name: 'c', seed: 7, exclusive: false, bootstrap: false, snapshotEvery: 10 };
  const c = makeReplica({ clock, server, ...newcomer });
  c.store.readSnapshot = () => Promise.resolve(forged);
  await c.start();
  await pass(clock, OVER_MS);
  expect(isFresh(c)).toBe(false);
  expect(JSON.stringify(c.log)).toContain('the snapshot in the store was refused');
  const d = await startSettled({ clock, server, ...newcomer, name: 'd', seed: 8 });
  await pass(clock, OVER_MS);
  expect(isFresh(d)).toBe(true);
  expect(await reasonOf(d, 'j1')).toBe('revoked');
});
