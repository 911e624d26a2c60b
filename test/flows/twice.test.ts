/** What stands in one epoch twice: the store forgets the ids of what it lets go, and a thief names a line as he likes. */
import { expect, it } from 'vitest';
import { OVER_MS, enforce, isFresh, jti, reasonOf, startPair } from '../support/memory-fleet.ts';
import { orderOf } from '../support/replica-harness.ts';
import { forget, pass, startSettled } from '../support/replicas.ts';

it('says nothing new, and every tree counts it: replicas go on, and start again', async () => {
  const { clock, server, a, b } = await startPair();
  await enforce(a, 'j1');
  const expiresAtMs = clock.now().wallMs + 3_600_000;
  const lock = (value: string) => a.revoker.revoke(orderOf({ targets: [jti(value)], expiresAtMs }));
  const [locked, lifted] = [lock('l1'), lock('l2')];
  await pass(clock, 2_000);
  await locked;
  const lifting = a.lifter.lift((await lifted).id, 'admin');
  await pass(clock, 2_000);
  await lifting;
  const epochId = a.cursor.epochId as string;
  const [, ...lines] = server.lines;
  for (const { sealed } of lines) {
    server.forge(epochId, sealed);
  }
  await pass(clock, OVER_MS);
  const reasons = ['permitted', 'revoked', 'locked', 'permitted'];
  const check = async (...replicas: (typeof a)[]): Promise<void> => {
    for (const one of replicas) {
      expect(isFresh(one)).toBe(true);
      const said = await Promise.all(['j0', 'j1', 'l1', 'l2'].map((value) => reasonOf(one, value)));
      expect(said).toEqual(reasons);
      expect(one.tree.size).toBe(server.lines.length);
      expect(one.tree.head).toEqual(a.tree.head);
    }
  };
  expect(server.lines.length).toBeGreaterThan(2 * lines.length);
  await check(a, b);
  forget(b);
  await b.stop();
  const common = { clock, server, exclusive: false, bootstrap: false };
  const again = await startSettled({ ...common, name: 'b', seed: 9, ledger: b.ledger });
  const newcomer = await startSettled({ ...common, name: 'c', seed: 3 });
  await pass(clock, OVER_MS);
  await check(a, again, newcomer);
  await enforce(newcomer, 'j2');
});
