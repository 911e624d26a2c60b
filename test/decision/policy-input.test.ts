import { describe, expect, it } from 'vitest';
import type { VerifiedCredential } from '../../src/credential/credential.ts';
import { credentialInput, policyInput } from '../../src/decision/policy-input.ts';
import type { AccessRequest } from '../../src/decision/request.ts';
import { printsOf } from '../session/sessions.ts';

const RAW = 'eyJ-the-raw-token';

const request: AccessRequest = {
  subject: { type: 'user', id: 'alice', properties: { team: 'red' } },
  action: { name: 'read' },
  resource: { type: 'doc', id: '7' },
  context: { ip: '192.0.2.1' },
  credential: { scheme: 'DPoP', token: RAW, proof: `${RAW}-proof` },
};

function credentialOf(over: Partial<VerifiedCredential> = {}): VerifiedCredential {
  return {
    kind: 'jwt',
    scheme: 'DPoP',
    issuer: 'https://issuer.example',
    subject: 'alice',
    claims: { sub: 'alice', scope: 'read' },
    actors: [{ issuer: 'https://issuer.example', subject: 'agent' }],
    confirmation: { jkt: 'thumb' },
    issuedAtS: 100,
    notBeforeS: undefined,
    expiresAtS: 200,
    handles: printsOf('x'),
    ...over,
  };
}

describe('what a policy reads', () => {
  it('is the request, the verified credential and the time', () => {
    expect(policyInput(request, credentialOf(), 150, [])).toEqual({
      subject: { type: 'user', id: 'alice', properties: { team: 'red' } },
      action: { name: 'read' },
      resource: { type: 'doc', id: '7' },
      context: { ip: '192.0.2.1' },
      credential: {
        kind: 'jwt',
        issuer: 'https://issuer.example',
        scheme: 'DPoP',
        claims: { sub: 'alice', scope: 'read' },
        actors: [{ issuer: 'https://issuer.example', subject: 'agent' }],
        confirmation: { jkt: 'thumb' },
      },
      grants: [],
      now: 150,
    });
  });

  it('never holds what was presented: no token, no proof, no handle', () => {
    const text = JSON.stringify(policyInput(request, credentialOf(), 150, []));
    expect(text).not.toContain(RAW);
    expect(text).not.toContain('handles');
    expect(JSON.stringify(policyInput(request, undefined, 150, []))).not.toContain(RAW);
  });

  it('has no credential where none was verified, even if one was presented', () => {
    expect(policyInput(request, undefined, 150, [])).not.toHaveProperty('credential');
  });

  it('has no confirmation where the credential is bound to nothing', () => {
    expect(credentialInput(credentialOf({ confirmation: undefined }))).not.toHaveProperty('confirmation');
  });

  it('shows an actor by issuer and subject alone', () => {
    const actor = { issuer: 'i', subject: 's', secret: 'x' };
    expect(credentialInput(credentialOf({ actors: [actor] }))['actors']).toEqual([
      { issuer: 'i', subject: 's' },
    ]);
  });

  it('is made once for a credential, and anew for another', () => {
    const credential = credentialOf();
    expect(credentialInput(credential)).toBe(credentialInput(credential));
    expect(credentialInput(credentialOf())).not.toBe(credentialInput(credential));
  });
});
