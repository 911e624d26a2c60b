/** Lines that come faster than pages: a page is worth a lease once all is applied that the store had when it gave it (D-196). */
import { describe, expect, it } from 'vitest';
import type { RenewReply } from '../../src/feed/feed-store.ts';
import type { SessionRef } from '../../src/session/session.ts';
import { NOW_S, OVER_MS, cut, enforce, isFresh, jti, reasonOf, startPair } from '../support/memory-fleet.ts';
import type { TestReplica } from '../support/replica-harness.ts';
import { LEASE_MS, orderOf, requestOf, tokenOf } from '../support/replica-harness.ts';
import { pass } from '../support/replicas.ts';

const PAGE_MS = 100;
/** So many lines `slow` lacks when it begins to ask page by page. */
const LAG = 3;

interface Streamed {
  /** Of each renewal of `slow`. */
  readonly kinds: RenewReply['kind'][];
  /** It gets all that there is. */
  readonly stop: () => Promise<void>;
}

/** Each renewal of `slow` brings one line and takes a tenth of a second, in which `by` appends `each` more. */
async function stream(by: TestReplica, slow: TestReplica, each: number): Promise<Streamed> {
  let count = 0;
  const append = async (): Promise<void> => {
    const facts = { targets: [jti(`s${count}`)], caller: 'admin', body: 'b'.repeat(64) } as const;
    const sealed = by.appender.seal({ id: `rev_${count++}`, kind: 'revocation', ...facts });
    await by.appender.appendUnfenced(by.cursor.epochId as string, sealed);
  };
  const renew = slow.store.renew.bind(slow.store);
  const kinds: RenewReply['kind'][] = [];
  cut(slow, true);
  for (let i = 0; i < LAG; i++) await append();
  cut(slow, false);
  slow.store.renew = async (request) => {
    for (let i = 0; i < each; i++) await append();
    const reply = await renew({ ...request, limit: 1 });
    kinds.push(reply.kind);
    await slow.clock.sleep(PAGE_MS, new AbortController().signal);
    return reply;
  };
  const stop = async (): Promise<void> => {
    slow.store.renew = renew;
    await pass(slow.clock, 1_000);
    expect(isFresh(slow)).toBe(true);
  };
  return { kinds, stop };
}

describe('who gets lines page by page and never all of them', () => {
  it('goes on holding a lease while it keeps up, counted from a page that is older than what it lacks', async () => {
    const { clock, a, b } = await startPair();
    const { kinds, stop } = await stream(a, b, 1);
    await pass(clock, OVER_MS);
    for (let i = 0; i < 40; i++) {
      await pass(clock, PAGE_MS);
      expect(b.lease.freshForMs(clock.now())).toBeLessThanOrEqual(LEASE_MS - LAG * PAGE_MS);
      expect(isFresh(b)).toBe(true);
    }
    expect(new Set(kinds)).toEqual(new Set(['more']));
    await stop();
  });

  it('holds none any more where it falls behind', async () => {
    const { clock, a, b } = await startPair();
    const { kinds, stop } = await stream(a, b, 2);
    await pass(clock, 3 * OVER_MS);
    expect([new Set(kinds), isFresh(b)]).toEqual([new Set(['more']), false]);
    await stop();
  });

  it('is given none by pages alone, having none', async () => {
    const { clock, a, b } = await startPair();
    cut(b, true);
    await pass(clock, OVER_MS);
    const { kinds, stop } = await stream(a, b, 1);
    await pass(clock, OVER_MS);
    expect([new Set(kinds), isFresh(b)]).toEqual([new Set(['more']), false]);
    await stop();
  });

  it('acknowledges what is ordered', async () => {
    const { clock, a, b } = await startPair();
    const { kinds, stop } = await stream(a, b, 1);
    await pass(clock, 1_000);
    await enforce(a, 'j1', 2_000);
    for (const one of [a, b]) expect(await reasonOf(one, 'j1')).toBe('revoked');
    expect(new Set(kinds)).toEqual(new Set(['more']));
    await stop();
  });

  it('calls nothing enforced while it cannot read what others say, who are ahead of it: a session of theirs may go on', async () => {
    const { clock, a, b } = await startPair();
    await a.keeper.open({ kind: 'k', selfEnds: false, request: requestOf(tokenOf('billing', 'j1', NOW_S)) });
    const { stop } = await stream(a, b, 1);
    await pass(clock, 1_000);
    const pending = b.revoker.revoke(orderOf({ targets: [jti('j1')], waitMs: OVER_MS }));
    await pass(clock, 2 * OVER_MS);
    expect(await pending).toMatchObject({ state: 'durable' });
    await stop();
    await pass(clock, OVER_MS);
    const [session] = a.sessions.all();
    expect(session?.kill?.reason).toBe('revoked');
    a.sessions.end(session?.ref as SessionRef);
    await pass(clock, OVER_MS);
    const { id } = await pending;
    await b.revoker.status(id);
    await pass(clock, 500);
    expect(await b.revoker.status(id)).toMatchObject({ state: 'enforced', sessions: { matched: 1 } });
  });

  it('is waited for where no answer reaches it, though its row moved with pages alone', async () => {
    const { clock, a, b } = await startPair();
    const { stop } = await stream(a, b, 1);
    await pass(clock, OVER_MS);
    b.store.fate = (command) => (command === 'renew' ? 'lose-reply' : 'deliver');
    const pending = a.revoker.revoke(orderOf({ targets: [jti('j1')], waitMs: 30_000 }));
    let isSaid = false;
    void pending.then(() => (isSaid = true));
    for (let i = 0; isFresh(b); i++) {
      expect([i < 100, isSaid]).toEqual([true, false]);
      await pass(clock, 50);
    }
    await pass(clock, OVER_MS);
    expect(await pending).toMatchObject({ state: 'enforced' });
    cut(b, false);
    await stop();
  });
});
