import { describe, expect, it } from 'vitest';
import type { Credential } from '../../src/credential/credential.ts';
import type { KeyLookup, KeySource } from '../../src/credential/issuer.ts';
import { parsePublicJwk } from '../../src/credential/jwk.ts';
import type { JwtVerifier } from '../../src/credential/verifier.ts';
import type { JsonObject } from '../../src/kernel/json.ts';
import { LIMITS } from '../../src/kernel/limits.ts';
import {
  MemoryKeys,
  NOW_MS,
  NOW_S,
  accessClaims,
  bearer,
  issuerOf,
  keyFor,
  makeKey,
  mintProof,
  mintToken,
  outcomeOf,
  presented,
  signCompact,
  verified,
  verifierOf,
  wordOf,
} from '../support/tokens.ts';

const ec = keyFor('ES256');

/** The answer to a token that was verified before: it must come without waiting. */
function hit(verifier: JwtVerifier, credential: string | Credential, wallMs = NOW_MS): string {
  const answer = verifier.verify(typeof credential === 'string' ? bearer(credential) : credential, wallMs);
  return answer instanceof Promise ? 'a promise' : wordOf(answer);
}

describe('a token that was verified before', () => {
  it('is answered at once, with the very same credential', async () => {
    const verifier = verifierOf();
    const token = mintToken();
    const first = await verified(verifier, token);
    expect(hit(verifier, token)).toBe('ok');
    expect(await verified(verifier, token)).toBe(first);
  });

  it('has its times checked again', async () => {
    const verifier = verifierOf();
    const token = mintToken({ claims: { nbf: NOW_S, exp: NOW_S + 60 } });
    expect(await outcomeOf(verifier, token)).toBe('ok');
    expect(hit(verifier, token, NOW_MS + 64_999)).toBe('ok');
    expect(hit(verifier, token, NOW_MS - 5_001)).toBe('not_yet_valid');
    expect(hit(verifier, token, NOW_MS + 65_000)).toBe('expired');
    // It is forgotten then: the next one starts over, and is still refused.
    expect(hit(verifier, token, NOW_MS + 65_000)).toBe('a promise');
    expect(await outcomeOf(verifier, token, NOW_MS + 65_000)).toBe('expired');
  });

  it('is not kept when it was refused: each time is the first', async () => {
    const keys = new MemoryKeys([]);
    const verifier = verifierOf([issuerOf({ keys })]);
    const token = mintToken();
    expect(await outcomeOf(verifier, token)).toBe('key_unknown');
    keys.publish([ec]);
    expect(await outcomeOf(verifier, token)).toBe('ok');
  });

  it('keeps nothing of the token but what was in it', async () => {
    const token = mintToken();
    const credential = await verified(verifierOf(), token);
    const [, payload = '', signature = ''] = token.split('.');
    const kept = JSON.stringify(credential);
    for (const part of [token, payload, signature]) expect(kept).not.toContain(part);
  });

  it('is another one when a single character of it is another', async () => {
    const verifier = verifierOf();
    const token = mintToken();
    expect(await outcomeOf(verifier, token)).toBe('ok');
    expect(await outcomeOf(verifier, `${token.slice(0, -4)}AAAA`)).not.toBe('ok');
  });
});

describe('a key that leaves the set', () => {
  it('takes with it what it signed, at the next use', async () => {
    const keys = new MemoryKeys([ec]);
    const verifier = verifierOf([issuerOf({ keys })]);
    const token = mintToken();
    expect(await outcomeOf(verifier, token)).toBe('ok');
    keys.publish([makeKey('ES256', 'next')]);
    expect(await outcomeOf(verifier, token)).toBe('key_unknown');
    expect(keys.refreshes).toBe(1);
  });

  it('is missed though its name is given to another key', async () => {
    const keys = new MemoryKeys([ec]);
    const verifier = verifierOf([issuerOf({ keys })]);
    const token = mintToken();
    expect(await outcomeOf(verifier, token)).toBe('ok');
    keys.publish([makeKey('ES256', ec.kid)]);
    expect(await outcomeOf(verifier, token)).toBe('signature');
  });

  it('takes it from a credential that is presented as the very same object too, and so does its end', async () => {
    const keys = new MemoryKeys([ec]);
    const verifier = verifierOf([issuerOf({ keys })]);
    const presented = bearer(mintToken());
    expect(await verifier.verify(presented, NOW_MS)).toMatchObject({ ok: true });
    expect(verifier.verify(presented, NOW_MS)).toMatchObject({ ok: true });
    expect(verifier.verify(presented, NOW_MS)).toMatchObject({ ok: true });
    expect(verifier.verify(presented, NOW_MS + 365 * 86_400_000)).toMatchObject({
      ok: false,
      reason: 'expired',
    });
    keys.publish([makeKey('ES256', 'next')]);
    expect(await verifier.verify(presented, NOW_MS)).toMatchObject({ ok: false, detail: 'key_unknown' });
  });

  it('leaves alone what others signed: that is still answered at once', async () => {
    const keys = new MemoryKeys([ec, keyFor('EdDSA')]);
    const verifier = verifierOf([issuerOf({ keys, algorithms: ['ES256', 'EdDSA'] })]);
    const token = mintToken();
    expect(await outcomeOf(verifier, token)).toBe('ok');
    keys.publish([ec]);
    expect(hit(verifier, token)).toBe('ok');
    keys.publish([ec, makeKey('ES256', 'another')]);
    expect(hit(verifier, token)).toBe('ok');
  });

  it('does so too when it left while the token was being verified', async () => {
    const keys = new MemoryKeys([ec]);
    const verifier = verifierOf([issuerOf({ keys })]);
    const token = mintToken();
    const pending = verifier.verify(bearer(token), NOW_MS);
    keys.publish([]);
    await pending;
    expect(hit(verifier, token)).toBe('a promise');
    expect(await outcomeOf(verifier, token)).toBe('key_unknown');
  });

  it('makes nothing acceptable while no set may be believed, and nothing lost when one may again', async () => {
    const keys = new MemoryKeys([ec]);
    const verifier = verifierOf([issuerOf({ keys })]);
    const token = mintToken();
    expect(await outcomeOf(verifier, token)).toBe('ok');
    keys.publish(undefined);
    expect(await outcomeOf(verifier, token)).toBe('keys_unavailable');
    keys.publish([ec]);
    expect(hit(verifier, token)).toBe('ok');
  });
});

describe('what was verified', () => {
  it('is looked at again after a wait: its times and its key, and nothing of what was refused', async () => {
    const keys = new MemoryKeys([ec]);
    const verifier = verifierOf([issuerOf({ keys })]);
    const answer = await verifier.verify(bearer(mintToken()), NOW_MS);
    const again = (wallMs = NOW_MS): string => wordOf(verifier.reverify(answer, wallMs));
    expect(again()).toBe('ok');
    expect(again(NOW_MS + 365 * 86_400_000)).toBe('expired');
    keys.publish([makeKey('ES256', ec.kid)]);
    expect(again()).toBe('key_unknown');
    keys.publish([]);
    expect(again()).toBe('key_unknown');
    keys.publish(undefined);
    expect(again()).toBe('keys_unavailable');
    keys.publish([ec]);
    expect(again()).toBe('ok');
    const refused = await verifier.verify(bearer('no token'), NOW_MS);
    expect(verifier.reverify(refused, NOW_MS)).toBe(refused);
  });

  it('is looked at again without its proof, which was used', async () => {
    const jkt = parsePublicJwk(ec.jwk as JsonObject)?.thumbprint;
    const token = mintToken({ claims: { cnf: { jkt } } });
    const proof = mintProof({ key: ec, token });
    const uri = 'https://api.example/orders';
    const credential = presented('DPoP', token, { proof, method: 'GET', uri });
    const verifier = verifierOf();
    const answer = await verifier.verify(credential, NOW_MS);
    expect(wordOf(answer)).toBe('ok');
    expect(verifier.reverify(answer, NOW_MS)).toBe(answer);
    expect(await outcomeOf(verifier, credential)).toBe('proof_replayed');
  });
});

describe('a key that is not known yet', () => {
  it('is asked for once, and found when the issuer has begun to use it', async () => {
    const keys = new MemoryKeys([ec]);
    const verifier = verifierOf([issuerOf({ keys })]);
    const next = makeKey('ES256', 'next');
    keys.stage([ec, next]);
    expect(await outcomeOf(verifier, mintToken({ key: next }))).toBe('ok');
    expect(keys.refreshes).toBe(1);
  });

  it('is waited for also when there is no set at all', async () => {
    const keys = new MemoryKeys(undefined);
    const verifier = verifierOf([issuerOf({ keys })]);
    expect(await verifier.verify(bearer(mintToken()), NOW_MS)).toEqual({
      ok: false,
      reason: 'invalid_credential',
      detail: 'keys_unavailable',
    });
    keys.stage([ec]);
    expect(await outcomeOf(verifier, mintToken())).toBe('ok');
  });

  it('is not asked for when a key is there and does not fit, or the header is refused', async () => {
    const keys = new MemoryKeys([ec]);
    const verifier = verifierOf([issuerOf({ keys, algorithms: ['ES256', 'ES384'] })]);
    expect(await outcomeOf(verifier, mintToken({ header: { alg: 'ES384' } }))).toBe('algorithm');
    expect(await outcomeOf(verifier, mintToken({ header: { alg: 'none' } }))).toBe('algorithm');
    expect(keys.refreshes).toBe(0);
  });
});

/** A key source that counts look-ups, which happen once for each verification. */
class CountingKeys extends MemoryKeys {
  lookups = 0;

  override lookup(...args: Parameters<MemoryKeys['lookup']>): KeyLookup {
    this.lookups += 1;
    return super.lookup(...args);
  }
}

describe('many at once', () => {
  it('is one verification for one token, however often it is presented meanwhile', async () => {
    const keys = new CountingKeys([ec]);
    const verifier = verifierOf([issuerOf({ keys })]);
    const token = mintToken();
    const outcomes = Array.from({ length: 1_000 }, () => outcomeOf(verifier, token));
    expect(new Set(await Promise.all(outcomes))).toEqual(new Set(['ok']));
    expect(keys.lookups).toBe(1);
  });

  it('is judged for each presenter by its own moment and proof', async () => {
    const verifier = verifierOf();
    const dpop = makeKey('ES256', 'dpop');
    const jkt = parsePublicJwk(dpop.jwk as JsonObject)?.thumbprint;
    const token = mintToken({ claims: { cnf: { jkt } } });
    const rest = { proof: mintProof({ key: dpop, token }), method: 'GET', uri: 'https://api.example/orders' };
    const outcomes = [
      outcomeOf(verifier, bearer(token)),
      outcomeOf(verifier, presented('DPoP', token, rest)),
      outcomeOf(verifier, presented('DPoP', token, rest), NOW_MS + 3_600_000),
    ];
    expect(await Promise.all(outcomes)).toEqual(['proof_required', 'ok', 'expired']);
  });

  it('is limited: beyond it a token is told that there is too much, and those known pass', async () => {
    const gate = Promise.withResolvers<undefined>();
    const slow = new MemoryKeys([]);
    slow.gate = gate.promise;
    const verifier = verifierOf([issuerOf(), issuerOf({ issuer: 'https://slow.example', keys: slow })]);
    const known = mintToken();
    expect(await outcomeOf(verifier, known)).toBe('ok');
    const max = LIMITS.verificationsInFlightMax;
    const cheap = (i: number): string =>
      signCompactOnce({ iss: 'https://slow.example', jti: `t-${i}` }, { kid: 'none' });
    const waiting = Array.from({ length: max / 2 }, (_, i) => outcomeOf(verifier, cheap(i)));
    // Half of the places are for those whose key is here.
    expect(await verifier.verify(bearer(cheap(max)), NOW_MS)).toMatchObject({ reason: 'overloaded' });
    const fresh = mintToken({ claims: { jti: 'fresh' } });
    expect(await outcomeOf(verifier, fresh)).toBe('ok');
    expect(hit(verifier, known)).toBe('ok');
    const rest = Array.from({ length: max / 2 }, (_, i) => outcomeOf(verifier, cheap(2 * max + i)));
    expect(hit(verifier, cheap(9 * max))).toBe('verifications');
    expect(hit(verifier, known)).toBe('ok');
    gate.resolve(undefined);
    expect(new Set(await Promise.all(waiting))).toEqual(new Set(['key_unknown']));
    expect(new Set(await Promise.all(rest))).toEqual(new Set(['verifications']));
    expect(await outcomeOf(verifier, mintToken({ claims: { jti: 'after' } }))).toBe('ok');
    expect(await outcomeOf(verifier, cheap(7 * max))).toBe('key_unknown');
  });

  it('is limited for proofs too', async () => {
    const verifier = verifierOf();
    const dpop = makeKey('ES256', 'dpop');
    const jkt = parsePublicJwk(dpop.jwk as JsonObject)?.thumbprint;
    const token = mintToken({ claims: { cnf: { jkt } } });
    const rest = { proof: mintProof({ key: dpop, token }), method: 'GET', uri: 'https://api.example/orders' };
    const credential = presented('DPoP', token, rest);
    expect(await outcomeOf(verifier, credential)).toBe('ok');
    const flood = Array.from({ length: LIMITS.verificationsInFlightMax + 1 }, () =>
      outcomeOf(verifier, credential),
    );
    const outcomes = await Promise.all(flood);
    expect(outcomes.filter((outcome) => outcome === 'verifications')).toHaveLength(1);
    expect(outcomes.filter((outcome) => outcome === 'proof_replayed')).toHaveLength(
      LIMITS.verificationsInFlightMax,
    );
    expect(await outcomeOf(verifier, credential)).toBe('proof_replayed');
  });
});

/** A well-formed token whose signature nobody will get to: only one is signed, for speed. */
const someSignature = mintToken().split('.')[2] ?? '';
function signCompactOnce(claims: object, header: object): string {
  const parts = [{ alg: 'ES256', typ: 'at+jwt', ...header }, accessClaims({ ...claims })];
  const input = parts.map((part) => Buffer.from(JSON.stringify(part)).toString('base64url')).join('.');
  return `${input}.${someSignature}`;
}

describe('the log of proofs', () => {
  it('refuses what it cannot remember, rather than let it be replayed', async () => {
    const dpop = makeKey('EdDSA', 'dpop');
    const jkt = parsePublicJwk(dpop.jwk as JsonObject)?.thumbprint;
    const token = mintToken({ claims: { cnf: { jkt } } });
    const verifier = verifierOf([issuerOf()], { proofsMax: 2 });
    const use = (jti: string): Promise<string> => {
      const proof = mintProof({ key: dpop, token, claims: { jti } });
      return outcomeOf(
        verifier,
        presented('DPoP', token, { proof, method: 'GET', uri: 'https://api.example/orders' }),
      );
    };
    expect([await use('1'), await use('2'), await use('3')]).toEqual(['ok', 'ok', 'verifications']);
  });
});

describe('the verifier', () => {
  it('refuses a configuration that names an issuer twice', () => {
    expect(() => verifierOf([issuerOf(), issuerOf()])).toThrow('an issuer is configured twice');
  });

  it('knows issuers apart that issue the same jti', async () => {
    const other = makeKey('ES256', 'other');
    const iss = 'https://other.example';
    const verifier = verifierOf([issuerOf(), issuerOf({ issuer: iss, keys: new MemoryKeys([other]) })]);
    const one = await verified(verifier, mintToken());
    const two = await verified(verifier, mintToken({ key: other, claims: { iss } }));
    const jtiOf = (credential: typeof one) =>
      credential.handles.handles.find(({ kind }) => kind === 'jti')?.parts;
    expect(jtiOf(one)).not.toEqual(jtiOf(two));
    expect(one.subject).toBe(two.subject);
  });

  it('answers with constant words that quote nothing of the token', async () => {
    const secret = 'hunter2';
    const tokens = [
      `${secret}.${secret}.${secret}`,
      mintToken({ header: { alg: secret } }),
      mintToken({ header: { kid: secret } }),
      mintToken({ header: { typ: secret } }),
      mintToken({ claims: { iss: secret } }),
      mintToken({ claims: { aud: secret } }),
      mintToken({ claims: { exp: secret } }),
      mintToken({ claims: { act: secret } }),
      mintToken({ claims: { cnf: secret } }),
      signCompact({ alg: 'ES256' }, `{"${secret}":1,"${secret}":2}`, ec),
    ];
    for (const token of tokens) {
      const answer = await verifierOf().verify(bearer(token), NOW_MS);
      expect(answer.ok).toBe(false);
      expect(JSON.stringify(answer)).not.toContain(secret);
    }
  });

  it('passes a broken key source’s failure on, and is not stuck afterwards', async () => {
    let isBroken = true;
    const good = new MemoryKeys([ec]);
    const keys: KeySource = {
      lookup: (kid, algorithm) => (isBroken ? { state: 'unknown' } : good.lookup(kid, algorithm)),
      generation: () => 0,
      refresh: () => Promise.reject(new Error('broken')),
      isAvailable: () => true,
    };
    const verifier = verifierOf([issuerOf({ keys })]);
    await expect(outcomeOf(verifier, mintToken())).rejects.toThrow('broken');
    isBroken = false;
    expect(await outcomeOf(verifier, mintToken())).toBe('ok');
  });
});
