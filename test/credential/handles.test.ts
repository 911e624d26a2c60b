import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Handle } from '../../src/credential/handle.ts';
import { handlesOfTarget, renderHandle } from '../../src/credential/handle.ts';
import { bareSubjectHandles } from '../../src/credential/handles.ts';
import { parseTokenHandle } from '../../src/credential/spelling.ts';
import type { Target } from '../../src/feed/entry.ts';
import { sha256, toBase64Url } from '../../src/kernel/digest.ts';
import { LIMITS } from '../../src/kernel/limits.ts';
import type { Members } from '../support/tokens.ts';
import {
  ISSUER,
  MemoryKeys,
  issuerOf,
  keyFor,
  mintProof,
  mintToken,
  outcomeOf,
  presented,
  verified,
  verifierOf,
  without,
  NOW_MS,
} from '../support/tokens.ts';

const JKT = toBase64Url(sha256('some key'));
const X5T = toBase64Url(sha256('some certificate'));

async function handlesOf(
  claims: Members,
  revocationClaims: readonly string[] = [],
): Promise<readonly Handle[]> {
  const credential = await verified(verifierOf([issuerOf()], { revocationClaims }), mintToken({ claims }));
  return credential.handles.handles;
}

describe('the handles of a credential', () => {
  it('are those of DESIGN section 4, the kinds without a cutoff first', async () => {
    const claims = { sid: 'session-1', azp: 'billing-web', act: { sub: 'agent' } };
    const token = mintToken({ claims });
    expect((await handlesOf(claims)).map(renderHandle)).toEqual([
      expect.stringMatching(/^tok:[0-9a-f]{64}$/),
      `kid:${ISSUER}|ES256-key`,
      `jti:${ISSUER}|token-1`,
      `sid:${ISSUER}|session-1`,
      `iss:${ISSUER}`,
      `sub:${ISSUER}|billing`,
      'sub-any:billing',
      `cli:${ISSUER}|billing-app`,
      `cli:${ISSUER}|billing-web`,
      `act:${ISSUER}|agent`,
      'act-any:agent',
      'all:',
    ]);
    expect(parseTokenHandle(token)?.digest).toMatch(/^[0-9a-f]{64}$/);
  });

  it('hold one for every kind of selector that could name the token', async () => {
    const key = keyFor('ES256');
    const jkt =
      (await import('../../src/credential/jwk.ts')).parsePublicJwk(key.jwk as never)?.thumbprint ?? '';
    const spiffe = 'spiffe://example.org/agent';
    const claims = {
      sid: 's',
      act: { sub: spiffe, iss: 'https://other.example' },
      cnf: { jkt },
      mission_id: 'm-7',
    };
    const token = mintToken({ claims });
    const verifier = verifierOf([issuerOf()], { revocationClaims: ['mission_id'] });
    const rest = { proof: mintProof({ key, token }), method: 'GET', uri: 'https://api.example/orders' };
    const verification = await verifier.verify(presented('DPoP', token, rest), NOW_MS);
    if (!verification.ok) throw new Error(verification.detail);
    const owned = verification.credential.handles.handles.map(renderHandle);
    const targets: Target[] = [
      { kind: 'token', value: parseTokenHandle(token)?.digest },
      { kind: 'jti', issuer: ISSUER, value: 'token-1' },
      { kind: 'session', issuer: ISSUER, value: 's' },
      { kind: 'key', issuer: ISSUER, value: key.kid },
      { kind: 'jkt', value: jkt },
      { kind: 'subject', issuer: ISSUER, value: 'billing' },
      { kind: 'subject', value: 'billing' },
      { kind: 'client', issuer: ISSUER, value: 'billing-app' },
      { kind: 'actor', issuer: 'https://other.example', value: spiffe },
      { kind: 'actor', value: spiffe },
      { kind: 'issuer', value: ISSUER },
      { kind: 'spiffe', value: spiffe },
      { kind: 'claim', name: 'mission_id', issuer: ISSUER, value: 'm-7' },
      { kind: 'all' },
    ];
    for (const target of targets)
      expect(owned, target.kind).toContain(handlesOfTarget(target).map(renderHandle)[0]);
    const strangers: Target[] = [
      { kind: 'subject', issuer: ISSUER, value: spiffe },
      { kind: 'subject', value: spiffe },
      { kind: 'actor', issuer: ISSUER, value: 'billing' },
      { kind: 'actor', value: 'billing' },
      { kind: 'actor', issuer: ISSUER, value: spiffe },
    ];
    for (const target of strangers)
      expect(owned, target.kind).not.toContain(handlesOfTarget(target).map(renderHandle)[0]);
  });

  it('name the key by its thumbprint when it has no kid', async () => {
    const key = keyFor('ES256');
    const keys = new MemoryKeys([{ ...key, jwk: without(key.jwk, 'kid') }]);
    const credential = await verified(
      verifierOf([issuerOf({ keys })]),
      mintToken({ header: { kid: undefined } }),
    );
    const found = keys.lookup(undefined, 'ES256');
    const thumbprint = found.state === 'found' ? found.key.thumbprint : '';
    expect(credential.handles.handles).toContainEqual({ kind: 'kid', parts: [ISSUER, thumbprint] });
  });

  it('name the key that verified, not what the token calls it', async () => {
    const token = mintToken({ header: { kid: undefined } });
    const credential = await verified(verifierOf(), token);
    expect(credential.handles.handles).toContainEqual({ kind: 'kid', parts: [ISSUER, 'ES256-key'] });
  });

  it('hold the certificate and the DPoP key that a token is bound to', async () => {
    const { handlesOfToken } = await import('../../src/credential/handles.ts');
    const names = { issuer: ISSUER, subject: 's', claims: {}, actors: [], keyId: 'k', digest: 'd' };
    const handles = handlesOfToken({ ...names, binding: { confirmation: {}, jkt: JKT, x5t: X5T } }, []);
    expect(handles).toContainEqual({ kind: 'jkt', parts: [JKT] });
    expect(handles).toContainEqual({ kind: 'x5t', parts: [X5T] });
  });
});

describe('a chain of actors', () => {
  const link = fc.record({
    sub: fc.constantFrom('a', 'b', 'c', 'd'),
    iss: fc.constantFrom(ISSUER, 'https://x'),
  });
  const chain = fc.array(link, { maxLength: LIMITS.actorsMax });

  it('is revoked by each of its links and by no other', async () => {
    await fc.assert(
      fc.asyncProperty(chain, link, async (links, other) => {
        const act = links.reduceRight<object | undefined>(
          (inner, { sub, iss }) => ({ sub, iss, act: inner }),
          undefined,
        );
        const owned = (await handlesOf({ act })).map(renderHandle);
        const holds = (target: Target): boolean =>
          owned.includes(handlesOfTarget(target).map(renderHandle)[0] ?? '');
        for (const { sub, iss } of [...links, other]) {
          const isIn = links.some((found) => found.sub === sub && found.iss === iss);
          expect(holds({ kind: 'actor', issuer: iss, value: sub })).toBe(isIn);
          expect(holds({ kind: 'actor', value: sub })).toBe(links.some((found) => found.sub === sub));
        }
      }),
      { numRuns: 40 },
    );
  });

  it('lists the current actor first, and gives a link without issuer the token’s', async () => {
    const act = { sub: 'now', act: { sub: 'before', iss: 'https://x', act: { sub: 'first' } } };
    const { actors } = await verified(verifierOf(), mintToken({ claims: { act } }));
    expect(actors).toEqual([
      { issuer: ISSUER, subject: 'now' },
      { issuer: 'https://x', subject: 'before' },
      { issuer: ISSUER, subject: 'first' },
    ]);
  });

  it('is refused when it is longer than the limit or a link cannot be read', async () => {
    const long = (links: number): object | undefined =>
      links === 0 ? undefined : { sub: `agent-${links}`, act: long(links - 1) };
    expect(await outcomeOf(verifierOf(), mintToken({ claims: { act: long(LIMITS.actorsMax) } }))).toBe('ok');
    const bad: unknown[] = [
      long(LIMITS.actorsMax + 1),
      null,
      'agent',
      [],
      [{ sub: 'agent' }],
      {},
      { sub: '' },
      { sub: 7 },
      { sub: 'agent', iss: 7 },
      { sub: 'agent', iss: '' },
      { sub: 'agent', act: null },
      { sub: 'agent', act: {} },
    ];
    for (const act of bad)
      expect(await outcomeOf(verifierOf(), mintToken({ claims: { act } })), JSON.stringify(act)).toBe(
        'actor',
      );
  });
});

describe('a claim that the operator revokes by', () => {
  it('is a handle under its own name, text or whole number, one or several', async () => {
    const claims = { mission_id: 'm-1', tenant: ['t-1', 7], other: 'no' };
    const handles = await handlesOf(claims, ['mission_id', 'tenant', 'absent', 'toString']);
    expect(handles.filter(({ kind }) => kind === 'claim').map(({ parts }) => parts)).toEqual([
      ['mission_id', ISSUER, 'm-1'],
      ['tenant', ISSUER, 't-1'],
      ['tenant', ISSUER, '7'],
    ]);
  });

  it('refuses the token when it cannot be named surely, because a revocation would miss it', async () => {
    const verifier = verifierOf([issuerOf()], { revocationClaims: ['tenant'] });
    const many = Array.from({ length: LIMITS.claimHandlesMax + 1 }, (_, i) => i);
    for (const tenant of [null, true, {}, [{}], [['t']], '', 1.5, 2 ** 53, many])
      expect(await outcomeOf(verifier, mintToken({ claims: { tenant } }))).toBe('claims');
    expect(await outcomeOf(verifier, mintToken({ claims: { tenant: many.slice(1) } }))).toBe('ok');
    expect(await outcomeOf(verifier, mintToken({ claims: { tenant: [] } }))).toBe('ok');
  });
});

describe('a subject that was asserted without a credential', () => {
  it('has the bare handle, the one of everything, and the SPIFFE one where it is an ID', () => {
    expect(bareSubjectHandles('billing').map(renderHandle)).toEqual(['sub-bare:billing', 'all:']);
    expect(bareSubjectHandles('spiffe://example.org/a').map(renderHandle)).toEqual([
      'sub-bare:spiffe://example.org/a',
      'spiffe:spiffe://example.org/a',
      'all:',
    ]);
  });
});
