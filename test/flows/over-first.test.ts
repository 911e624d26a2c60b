/**
 * Putting back takes time, and may end anywhere: found by attack, a grant was there again before what had taken it away, for the
 * whole of that time, and for ever where whoever put it back died between the two. Nobody puts one back since, nor a lift.
 */
import { describe, expect, it } from 'vitest';
import type { GrantFacts } from '../../src/flows/grant.ts';
import {
  NOW_S,
  OVER_MS,
  beginAnew,
  isFresh,
  jti,
  kill,
  part,
  reasonOf,
  startPair,
  within,
} from '../support/memory-fleet.ts';
import type { TestReplica } from '../support/replica-harness.ts';
import { orderOf, requestOf, tokenOf } from '../support/replica-harness.ts';
import { makeReplica, pass } from '../support/replicas.ts';

const FACTS: GrantFacts = { subject: { id: 'billing' }, action: 'granted', resource: { type: 'invoice' } };

const reasons = async (one: TestReplica): Promise<string[]> => {
  const asked = requestOf(tokenOf('billing', 'j0', NOW_S), { action: { name: 'granted' } });
  return [await reasonOf(one, 'j1'), (await one.checker.check(asked)).reason];
};

/** As it was before, and after: nothing is locked, and nothing granted. */
const OVER = ['permitted', 'policy_denied'];

/** Gives a grant and takes it away, locks j1 and lifts that. */
async function giveAndTake(by: TestReplica): Promise<void> {
  const { clock } = by;
  const given = by.granter.grant({ facts: FACTS, request: {}, caller: 'admin', idempotencyKey: undefined });
  const { id } = await within(clock, given, 200);
  await within(clock, by.granter.ungrant(id, 'admin'), 200);
  const expiresAtMs = clock.now().wallMs + 3_600_000;
  const lock = by.revoker.revoke(orderOf({ targets: [jti('j1')], expiresAtMs, wait: 'durable' }));
  await within(clock, by.lifter.lift((await within(clock, lock, 200)).id, 'admin'), 200);
  await pass(clock, 200);
  expect(await reasons(by)).toEqual(OVER);
}

/** After so many appends nothing reaches the store. */
function dieAfter(replica: TestReplica, appends: number): void {
  let left = appends;
  replica.store.fate = (command) => (command === 'append' && left-- <= 0 ? 'lose-request' : 'deliver');
}

describe('what is over', () => {
  // The first is that it has joined.
  it.each([1, 2])(
    'is not there again in a fleet that began anew, whoever dies after %s appends',
    async (appends) => {
      const { clock, server, a, b } = await startPair();
      await giveAndTake(a);
      for (const one of [a, b]) await kill(one);
      const c = await beginAnew({ clock, server });
      const { ledger } = a;
      const again = makeReplica({
        clock,
        server,
        ledger,
        name: 'a',
        seed: 3,
        bootstrap: false,
        exclusive: false,
      });
      dieAfter(again, appends);
      await again.start();
      await pass(clock, OVER_MS);
      expect(again.cursor.tails).toHaveLength(appends === 1 ? 1 : 0);
      expect(await reasons(c)).toEqual(OVER);
      await kill(again);
      await pass(clock, OVER_MS);
      expect([isFresh(c), ...(await reasons(c))]).toEqual([true, ...OVER]);
    },
  );

  it.each([1, 2, 3])(
    'nor what was granted in an epoch that lacks what came last; what was locked in it is locked, whoever dies after %s appends',
    async (appends) => {
      const { clock, a, b } = await startPair();
      await part(a, b, () => giveAndTake(b));
      dieAfter(b, appends);
      await pass(clock, OVER_MS);
      const isCarried = appends === 3;
      expect(b.cursor.tails).toHaveLength(isCarried ? 0 : 1);
      expect(await reasons(a)).toEqual([isCarried ? 'locked' : 'permitted', 'policy_denied']);
      expect(await reasons(b)).toEqual(['locked', 'policy_denied']);
    },
  );
});
