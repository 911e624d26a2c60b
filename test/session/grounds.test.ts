import { describe, expect, it } from 'vitest';
import type { VerifiedCredential } from '../../src/credential/credential.ts';
import { credentialInput } from '../../src/decision/policy-input.ts';
import type { AccessRequest } from '../../src/decision/request.ts';
import { groundsOf, standingOf } from '../../src/session/grounds.ts';
import { printsOf } from './sessions.ts';

const REQUEST: AccessRequest = {
  subject: { type: 'service', id: 'billing', properties: { team: 'a' } },
  action: { name: 'read' },
  resource: { type: 'invoice', id: '42' },
  context: { ip: '192.0.2.1' },
  credential: { scheme: 'Bearer', token: 'the raw token' },
};

const CREDENTIAL: VerifiedCredential = {
  kind: 'jwt',
  scheme: 'DPoP',
  issuer: 'https://issuer.example',
  subject: 'billing',
  claims: { scope: 'invoice:read' },
  actors: [{ issuer: 'https://issuer.example', subject: 'agent' }],
  confirmation: { jkt: 'x' },
  issuedAtS: 100,
  notBeforeS: 90,
  expiresAtS: 2_000,
  handles: printsOf('j1'),
};

describe('what a session was decided on', () => {
  it('comes back as it was, without the token', () => {
    const grounds = groundsOf(REQUEST, CREDENTIAL);
    expect(JSON.stringify(grounds)).not.toContain('raw token');
    expect(standingOf(grounds)).toEqual({
      request: { ...REQUEST, credential: undefined },
      credential: credentialInput(CREDENTIAL),
      issuer: 'https://issuer.example',
      actor: { issuer: 'https://issuer.example', subject: 'agent' },
    });
    const alone = groundsOf(REQUEST, { ...CREDENTIAL, actors: [], confirmation: undefined });
    expect(standingOf(alone)?.actor).toBeUndefined();
  });

  it('is one text for all sessions of a credential', () => {
    const [one, other] = [groundsOf(REQUEST, CREDENTIAL), groundsOf(REQUEST, CREDENTIAL)];
    expect(one.credential).toBe(other.credential);
    expect(groundsOf(REQUEST, { ...CREDENTIAL, claims: {} }).credential).not.toBe(one.credential);
  });

  it('is nothing when it is not there, or damaged', () => {
    const { request, credential } = groundsOf(REQUEST, CREDENTIAL);
    expect(standingOf(undefined)).toBeUndefined();
    for (const damaged of [
      { request: 'no json', credential },
      { request: '[]', credential },
      { request: '{"subject":{},"action":{},"resource":{}}', credential },
      { request, credential: 'no json' },
      { request, credential: '{"claims":1,"issuer":"i","actors":[]}' },
      { request, credential: '{"claims":{},"issuer":"i"}' },
      { request, credential: '{"claims":{},"actors":[]}' },
    ])
      expect(standingOf(damaged)).toBeUndefined();
  });
});
