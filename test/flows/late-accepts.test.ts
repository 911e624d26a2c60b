/**
 * Accepts of what was revoked, by replicas that had applied it: nothing does that on purpose, so they are put in where a
 * broken index would show. Each replica's are in one receipt, as what they are.
 */
import { expect, it } from 'vitest';
import { keyringOf } from '../../src/evidence/keyring.ts';
import { verifyReceipt } from '../../src/evidence/receipt.ts';
import { settle } from '../support/fake-time.ts';
import { NOW_S, jti, startPair } from '../support/memory-fleet.ts';
import type { TestReplica } from '../support/replica-harness.ts';
import { ISSUER, orderOf, requestOf, tokenOf } from '../support/replica-harness.ts';
import { pass } from '../support/replicas.ts';

function accept({ fingerprinter, lastAccepts, clock }: TestReplica): void {
  const handles = fingerprinter.print([{ kind: 'jti', parts: [ISSUER, 'j1'] }]);
  lastAccepts.record(handles, NOW_S, clock.now().wallMs);
}

it('late accepts of two replicas are in one receipt, each in the word of the replica that let it happen', async () => {
  const { clock, a, b } = await startPair();
  // Before: no late ones.
  for (const one of [a, b]) accept(one);
  const request = { ...requestOf(tokenOf('billing', 'j1', NOW_S)), subject: undefined };
  const { id = '' } = await b.keeper.open({ kind: 'k', selfEnds: false, request });
  const pending = a.revoker.revoke(orderOf({ targets: [jti('j1')], waitMs: 30_000 }));
  await settle();
  const { position } = await a.revoker.status(a.effects.unfinished()[0] ?? '');
  for (const one of [a, b]) expect(one.cursor.settled).toEqual(position);
  clock.advance(10);
  accept(a);
  clock.advance(20);
  accept(b);
  accept(b);
  // They are acknowledged with the next renewal, which comes every sixth of a lease.
  await pass(clock, 600);
  b.keeper.closed(id);
  await pass(clock, 1_000);
  const status = await pending;
  expect(status).toMatchObject({ state: 'enforced', lateAccepts: 3, revocationWindowMs: 30, seen: true });
  const text = a.receipts.texts.get(status.id) ?? '';
  const facts = verifyReceipt(text, keyringOf('test', a.logKey.public));
  expect(facts).toMatchObject({ state: 'enforced', lateAccepts: 3, revocationWindowMs: 30 });
  const said = [...text.matchAll(/^acknowledgement [^.]+\.([^.]+)\./gm)].map(([, payload = '']) => {
    const { replica, outcomes } = JSON.parse(Buffer.from(payload, 'base64url').toString()) as {
      replica: string;
      outcomes: { lateAccepts: number }[];
    };
    return [replica, outcomes[0]?.lateAccepts];
  });
  expect(said.sort()).toEqual([
    ['a', 1],
    ['b', 2],
  ]);
  // Each replica's own alarm, too.
  expect([a.lastAccepts.lateTotal, b.lastAccepts.lateTotal]).toEqual([1, 2]);
});
