/** What nobody with a key has signed has a place in the history and no effect: not when it comes, and not after a restart. */
import { expect, it } from 'vitest';
import { NOW_S, OVER_MS, enforce, isFresh, jti, reasonOf, startPair } from '../support/memory-fleet.ts';
import { orderOf } from '../support/replica-harness.ts';
import { readinessOf } from '../support/readiness.ts';
import { forget, pass, startSettled } from '../support/replicas.ts';
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
