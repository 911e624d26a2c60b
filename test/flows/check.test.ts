import { describe, expect, it } from 'vitest';
import type { FeedLine, Target } from '../../src/feed/entry.ts';
import { renderPosition } from '../../src/feed/position.ts';
import { epochS } from '../../src/kernel/clock.ts';
import { sessionRefOf } from '../../src/session/session.ts';
import { settle } from '../support/fake-time.ts';
import type { TestReplica } from '../support/replica-harness.ts';
import { ISSUER, LEASE_MS, orderOf, requestOf, tokenOf } from '../support/replica-harness.ts';
import { startReplica as start } from '../support/replicas.ts';

const NOW_S = 1_800_000_000;
const TOKEN = tokenOf('billing', 'j1', NOW_S);
const jti = (value: string): Target => ({ kind: 'jti', issuer: ISSUER, value });

async function kill(replica: TestReplica, target: Target): Promise<string> {
  const { id } = await replica.revoker.revoke(orderOf({ targets: [target], wait: 'durable' }));
  await settle();
  return id;
}

describe('a decision', () => {
  it('is what policy says of a credential that is alive', async () => {
    const { checker } = await start();
    expect(checker.check(requestOf(TOKEN))).toMatchObject({
      effect: 'allow',
      reason: 'permitted',
      policyReason: 'plain',
    });
    const asked = (name: string) => checker.check(requestOf(TOKEN, { action: { name } }));
    expect(asked('write')).toMatchObject({ effect: 'deny', reason: 'policy_denied' });
    expect(asked('undefined')).toMatchObject({ effect: 'deny', reason: 'policy_undefined' });
    expect(asked('trap')).toMatchObject({ effect: 'deny', reason: 'policy_error', detail: 'policy trapped' });
  });

  it('asks no policy about a credential that is revoked, refused or of somebody else', async () => {
    const replica = await start();
    const { checker, policy } = replica;
    await kill(replica, jti('j1'));
    expect(checker.check(requestOf(TOKEN))).toMatchObject({ effect: 'deny', reason: 'revoked' });
    expect(checker.check(requestOf('bad'))).toMatchObject({
      effect: 'deny',
      reason: 'invalid_credential',
      detail: 'signature',
    });
    expect(checker.check(requestOf(tokenOf('other', 'j2', NOW_S)))).toMatchObject({
      effect: 'deny',
      reason: 'subject_mismatch',
    });
    expect(policy.evaluations).toBe(0);
  });

  it('cannot be known without keys or when too much is asked at once', async () => {
    const { checker } = await start();
    for (const token of ['nokeys', 'busy']) {
      expect(checker.check(requestOf(token))).toMatchObject({
        effect: 'indeterminate',
        reason: 'introspection_unavailable',
      });
    }
  });

  it('looks again after the wait for a verification: what was revoked meanwhile is denied', async () => {
    const replica = await start();
    const pending = replica.checker.check(requestOf(`slow${TOKEN}`));
    expect(pending).toBeInstanceOf(Promise);
    await kill(replica, jti('j1'));
    replica.verifier.slow.resolve();
    expect(await pending).toMatchObject({ effect: 'deny', reason: 'revoked' });
  });

  it('is judged again after a wait for something else: its credential too', async () => {
    const replica = await start();
    const { checker, verifier } = replica;
    const request = requestOf(TOKEN);
    const verification = await checker.verify(request.credential);
    expect(checker.judgeAgain(request, verification)).toMatchObject({ effect: 'allow' });
    expect(checker.judgeAgain(requestOf(undefined), undefined)).toMatchObject({ effect: 'allow' });
    verifier.reverify = () => ({ ok: false, reason: 'expired', detail: 'expired' });
    expect(checker.judgeAgain(request, verification)).toMatchObject({ effect: 'deny', reason: 'expired' });
    expect(checker.evaluate('echo', {}, verification)).toMatchObject({ refused: { reason: 'expired' } });
  });

  it('kills the same second and spares the next', async () => {
    const replica = await start();
    await kill(replica, { kind: 'subject', issuer: ISSUER, value: 'billing', cutoffS: NOW_S });
    expect(replica.checker.check(requestOf(TOKEN))).toMatchObject({ reason: 'cutoff' });
    expect(replica.checker.check(requestOf(tokenOf('billing', 'j2', NOW_S + 1)))).toMatchObject({
      effect: 'allow',
    });
  });
});

describe('a policy that takes long', () => {
  it('does not allow by a lease that ended while policy was asked', async () => {
    const { checker, policy, clock } = await start();
    const decide = policy.decide.bind(policy);
    policy.decide = (input) => {
      clock.advance(60_000);
      return decide(input);
    };
    const fenced = { effect: 'indeterminate', reason: 'fenced', evidence: { freshForMs: 0 } };
    expect(checker.check(requestOf(TOKEN))).toMatchObject(fenced);
  });

  it('gives no value by such a lease either', async () => {
    const { checker, policy, clock } = await start();
    const evaluate = policy.evaluate.bind(policy);
    policy.evaluate = (...asked) => {
      clock.advance(60_000);
      return evaluate(...asked);
    };
    expect(checker.evaluate('authz/allow', { subject: { id: 'billing' } }, undefined)).toMatchObject({
      refused: { reason: 'fenced' },
    });
  });
});

describe('the memo of the policy', () => {
  const request = requestOf(TOKEN);
  const evaluations = ({ checker, policy }: TestReplica, times = 3): number => {
    const before = policy.evaluations;
    for (let i = 0; i < times; i++) expect(checker.check(request)).toMatchObject({ effect: 'allow' });
    return policy.evaluations - before;
  };

  it('answers a request that comes again as it was without asking the policy again', async () => {
    const replica = await start();
    expect(evaluations(replica)).toBe(1);
    expect(replica.checker.check(requestOf(TOKEN, { action: { name: 'write' } }))).toMatchObject({
      reason: 'policy_denied',
    });
  });

  it('never stands in for a revocation, and the policy is not asked about what is dead', async () => {
    const replica = await start();
    expect(evaluations(replica)).toBe(1);
    await kill(replica, jti('j1'));
    expect(replica.checker.check(request)).toMatchObject({ effect: 'deny', reason: 'revoked' });
    expect(replica.policy.evaluations).toBe(1);
  });

  it('never stands in for the lease', async () => {
    const replica = await start();
    expect(evaluations(replica)).toBe(1);
    replica.closing.abort();
    await replica.replica.stop();
    expect(replica.checker.check(request)).toMatchObject({ effect: 'indeterminate', reason: 'fenced' });
  });

  it('is dropped with the policy it came from', async () => {
    const replica = await start();
    expect(evaluations(replica)).toBe(1);
    replica.policy.revision = { ...replica.policy.revision, digest: 'sha256:other' };
    expect(evaluations(replica)).toBe(1);
    expect(replica.checker.check(request)).toMatchObject({ evidence: { policy: 'sha256:other' } });
  });

  it('holds within one second where the policy reads the time', async () => {
    const replica = await start();
    replica.policy.revision = { ...replica.policy.revision, readsNow: true };
    expect(evaluations(replica)).toBe(1);
    replica.clock.advance(1_000);
    await settle();
    expect(evaluations(replica)).toBe(1);
  });

  it('is dropped when a grant is given or taken away, and ends with the first of the grants it was given on', async () => {
    const replica = await start();
    const { checker, grants, policy, clock } = replica;
    const granted = requestOf(TOKEN, { action: { name: 'granted' } });
    const told = (effect: string, evaluations: number): void => {
      const before = policy.evaluations;
      for (let i = 0; i < 3; i++) expect(checker.check(granted)).toMatchObject({ effect });
      expect(policy.evaluations - before).toBe(evaluations);
    };
    told('deny', 1);
    const line = (sequence: number, facts: object): FeedLine =>
      ({
        position: { epoch: 1, sequence },
        chain: '',
        sealed: { text: '', entry: { v: 1, at: '', by: '', sig: '', ...facts } },
      }) as unknown as FeedLine;
    const grant = {
      kind: 'grant',
      subject: { id: 'billing' },
      action: 'granted',
      resource: { type: 'invoice' },
      caller: 'admin',
      body: '',
    };
    grants.apply(line(1, { ...grant, id: 'gra_1' }));
    told('allow', 1);
    grants.apply(line(2, { kind: 'ungrant', id: 'ung_1', grant: 'gra_1', caller: 'admin' }));
    told('deny', 1);
    grants.apply(line(3, { ...grant, id: 'gra_2', untilS: epochS(clock.now()) + 2 }));
    told('allow', 1);
    clock.advance(2_000);
    await settle();
    told('deny', 1);
  });

  it('is not kept of a policy that reads clock, randomness or network', async () => {
    const replica = await start();
    replica.policy.revision = { ...replica.policy.revision, isPure: false };
    expect(evaluations(replica)).toBe(3);
  });

  it('can be switched off', async () => {
    expect(evaluations(await start({ hasMemo: false }))).toBe(3);
  });

  it('is of one verified credential: the same text under another is asked anew', async () => {
    const { checker, policy, verifier } = await start();
    const verified = verifier.verify({ scheme: 'Bearer', token: TOKEN });
    if (verified instanceof Promise || !verified.ok) throw new Error('the token was refused');
    const other = { ok: true, credential: { ...verified.credential } } as const;
    expect(checker.judge(request, verified)).toMatchObject({ effect: 'allow' });
    expect(checker.judge(request, other)).toMatchObject({ effect: 'allow' });
    expect(policy.evaluations).toBe(2);
  });
});

describe('the evidence of a decision', () => {
  it('is that of its own moment: position, policy and what is left of the lease', async () => {
    const replica = await start();
    const { checker, cursor } = replica;
    const first = await checker.check(requestOf(TOKEN));
    expect(first.evidence).toEqual({
      position: renderPosition(cursor.position),
      policy: 'sha256:test',
      freshForMs: checker.freshForMs(),
    });
    await kill(replica, jti('other'));
    const second = await checker.check(requestOf(TOKEN));
    expect(second.evidence.position).toBe(renderPosition(cursor.position));
    expect(second.evidence.position).not.toBe(first.evidence.position);
  });
});

describe('a subject that is asserted without a credential', () => {
  it('is decided by policy, and dead under a cutoff unless it authenticated later', async () => {
    const replica = await start();
    const { checker } = replica;
    expect(checker.check(requestOf(undefined))).toMatchObject({ effect: 'allow' });
    await kill(replica, { kind: 'subject', issuer: ISSUER, value: 'billing', cutoffS: NOW_S });
    const at = (authenticatedAt: unknown) =>
      checker.check(requestOf(undefined, { context: { authenticatedAt: authenticatedAt as string } }));
    expect(at(undefined)).toMatchObject({ reason: 'cutoff' });
    expect(at(new Date(NOW_S * 1000).toISOString())).toMatchObject({ reason: 'cutoff' });
    expect(at('yesterday')).toMatchObject({ reason: 'cutoff' });
    expect(at(true)).toMatchObject({ reason: 'cutoff' });
    expect(at(NOW_S + 1)).toMatchObject({ effect: 'allow' });
    expect(at(new Date((NOW_S + 1) * 1000).toISOString())).toMatchObject({ effect: 'allow' });
    // Nobody authenticated in the future.
    expect(at(NOW_S + 3600)).toMatchObject({ reason: 'cutoff' });
  });

  it('may have a name of any length, and is dead under a cutoff all the same', async () => {
    const replica = await start();
    const id = 'x'.repeat(100_000);
    const ask = () => replica.checker.check(requestOf(undefined, { subject: { type: 'service', id } }));
    expect(ask()).toMatchObject({ effect: 'allow' });
    await kill(replica, { kind: 'all', cutoffS: NOW_S });
    expect(ask()).toMatchObject({ reason: 'cutoff' });
  });

  it('has handles that are kept for a bounded number of subjects', async () => {
    const { checker } = await start();
    for (let i = 0; i <= 10_000; i++)
      void checker.check(requestOf(undefined, { subject: { type: 'service', id: `s${i}` } }));
    expect(checker.check(requestOf(undefined))).toMatchObject({ effect: 'allow' });
  });
});

describe('the lease', () => {
  it('is computed at each decision: after a pause nothing is allowed, whatever timers have not run', async () => {
    const replica = await start();
    const { checker, clock } = replica;
    await kill(replica, jti('dead'));
    expect(checker.freshForMs()).toBeGreaterThan(0);
    // The whole process stood still: no renewal ran.
    replica.closing.abort();
    await replica.replica.stop();
    replica.lease.adopt(clock.now());
    clock.advance(LEASE_MS - 50);
    expect(checker.freshForMs()).toBe(0);
    expect(checker.check(requestOf(TOKEN))).toMatchObject({ effect: 'indeterminate', reason: 'fenced' });
    expect(checker.check(requestOf('bad'))).toMatchObject({ effect: 'indeterminate', reason: 'fenced' });
    expect(checker.check(requestOf(undefined))).toMatchObject({ reason: 'fenced' });
    expect(checker.check(requestOf(tokenOf('billing', 'dead', NOW_S)))).toMatchObject({ reason: 'revoked' });
  });

  it('is over when the wall clock says so, even if the other does not', async () => {
    const { checker, clock } = await start();
    clock.setForward(LEASE_MS);
    expect(checker.check(requestOf(TOKEN))).toMatchObject({ reason: 'fenced' });
  });
});

describe('the data API', () => {
  const input = { subject: { type: 'service', id: 'billing' }, context: { x: 1 }, credential: 'raw' };
  const credential = { scheme: 'Bearer', token: TOKEN } as const;

  it('gives an entrypoint the verified credential, never the raw one', async () => {
    const { checker } = await start();
    const answer = checker.evaluate('echo', input, await checker.verify(credential));
    expect(answer).toMatchObject({
      value: {
        kind: 'value',
        value: { context: { x: 1 }, credential: { issuer: ISSUER, claims: { sub: 'billing' } } },
      },
    });
    expect(JSON.stringify(answer)).not.toContain('raw');
    expect(checker.evaluate('echo', { subject: 'odd', context: 7 }, undefined)).toMatchObject({
      value: { kind: 'value' },
    });
    expect(checker.evaluate('echo', { subject: { id: 'billing' } }, undefined)).toMatchObject({
      value: { kind: 'value' },
    });
    expect(checker.evaluate('none', {}, undefined)).toMatchObject({ value: { kind: 'undefined' } });
  });

  it('gives nothing for what is refused, revoked, of another subject, or cannot be known', async () => {
    const replica = await start();
    const { checker } = replica;
    expect(
      checker.evaluate('echo', input, await checker.verify({ scheme: 'Bearer', token: 'bad' })),
    ).toMatchObject({
      refused: { reason: 'invalid_credential' },
    });
    expect(
      checker.evaluate('echo', { subject: { id: 'other' } }, await checker.verify(credential)),
    ).toMatchObject({
      refused: { reason: 'subject_mismatch' },
    });
    await kill(replica, jti('j1'));
    expect(checker.evaluate('echo', input, await checker.verify(credential))).toMatchObject({
      refused: { reason: 'revoked' },
    });
    replica.lease.drop();
    expect(checker.evaluate('echo', {}, undefined)).toMatchObject({ refused: { reason: 'fenced' } });
  });
});

describe('a session', () => {
  it('of an earlier run that never expires goes on until it is told', async () => {
    const replica = await start();
    const handles = replica.fingerprinter.print([{ kind: 'jti', parts: [ISSUER, 'j1'] }]);
    const record = {
      kind: 'k',
      subject: 'billing',
      handles,
      issuedAtS: undefined,
      expiresAtS: undefined,
      selfEnds: false,
      openedAtMs: 0,
    };
    const ref = sessionRefOf('ses_1');
    replica.sessions.restore({ ...record, ref }, 0, replica.clock.now());
    // One renewal at a time: the loop's own has come back.
    await settle();
    await replica.renewer.renewOnce();
    expect(replica.sessions.lookup(ref)?.kill).toBeUndefined();
    await kill(replica, jti('j1'));
    expect(replica.sessions.lookup(ref)?.kill).toMatchObject({ reason: 'revoked' });
  });

  it('is refused without a credential, with a bad one, and when policy denies', async () => {
    const { keeper, sessions } = await start();
    const open = (token: string | undefined, name = 'read') =>
      keeper.open({
        kind: 'k',
        selfEnds: false,
        request: { ...requestOf(token, { action: { name } }), subject: undefined },
      });
    expect(await open(undefined)).toMatchObject({ id: undefined, decision: { reason: 'no_credential' } });
    expect(await open('bad')).toMatchObject({ id: undefined, decision: { reason: 'invalid_credential' } });
    expect(await open(TOKEN, 'write')).toMatchObject({
      id: undefined,
      decision: { reason: 'policy_denied' },
    });
    expect(sessions.size).toBe(0);
  });

  it('is kept on disk before it is answered, and can be pinged, found and ended', async () => {
    const { keeper, records } = await start();
    const { id = '' } = await keeper.open({ kind: 'k', selfEnds: false, request: requestOf(TOKEN) });
    expect(records).toHaveLength(1);
    expect(keeper.ping(id)).toMatchObject({ kill: undefined });
    expect(keeper.find(id)).toMatchObject({ kind: 'k', subject: 'billing' });
    keeper.closed(id);
    expect(() => keeper.ping(id)).toThrow('no such session');
  });

  it('is killed when its credential expires, and when this replica is fenced', async () => {
    const replica = await start();
    const { keeper, clock } = replica;
    const short = await keeper.open({
      kind: 'k',
      selfEnds: false,
      // Clock skew is 5 s: it ends in one.
      request: requestOf(tokenOf('billing', 'j1', NOW_S - 3_604)),
    });
    const long = await keeper.open({ kind: 'k', selfEnds: false, request: requestOf(TOKEN) });
    // The replica sleeps until its next renewal: only then does time that passes wake it.
    await settle();
    clock.advance(1_000);
    await settle();
    expect(keeper.ping(short.id ?? '')).toEqual({
      freshForMs: 0,
      kill: { reason: 'expired', position: expect.any(String) as string },
    });
    expect(keeper.ping(long.id ?? '').kill).toBeUndefined();
    for (let i = 0; i < 100; i++) replica.store.next('renew', 'lose-request');
    for (let i = 0; i < 40; i++) {
      clock.advance(100);
      await settle();
    }
    expect(keeper.ping(long.id ?? '')).toMatchObject({ freshForMs: 0, kill: { reason: 'fenced' } });
  });
});
