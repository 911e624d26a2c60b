import { describe, expect, it } from 'vitest';
import { SELECTOR_KINDS } from '../../src/feed/entry.ts';
import {
  CAPABILITIES,
  capabilityOf,
  isCovered,
  requiredCapability,
} from '../../src/revocation/capability.ts';

describe('what a revocation takes', () => {
  it('rises with what it can kill', () => {
    expect(CAPABILITIES).toEqual(['token', 'subject', 'client', 'issuer', 'all']);
    const kinds = CAPABILITIES.map((capability) =>
      SELECTOR_KINDS.filter((kind) => capabilityOf(kind) === capability),
    );
    expect(kinds).toEqual([
      ['token', 'jti', 'session', 'jkt', 'certificate', 'apikey'],
      ['subject', 'actor', 'spiffe', 'claim'],
      ['client'],
      ['key', 'issuer'],
      ['all'],
    ]);
  });

  it('is covered by itself and by everything more powerful, by nothing less', () => {
    CAPABILITIES.forEach((held, i) => {
      CAPABILITIES.forEach((needed, j) => expect(isCovered(held, needed)).toBe(i >= j));
    });
  });

  it('is for several targets what the most powerful of them takes, wherever it stands', () => {
    expect(requiredCapability([{ kind: 'jti' }])).toBe('token');
    expect(requiredCapability([{ kind: 'jti' }, { kind: 'issuer' }, { kind: 'subject' }])).toBe('issuer');
    expect(requiredCapability([{ kind: 'all' }, { kind: 'jti' }])).toBe('all');
  });
});
