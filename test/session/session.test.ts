import { describe, expect, it } from 'vitest';
import { sha256, toBase64Url } from '../../src/kernel/digest.ts';
import { NOTHING_KILLED } from '../../src/session/kill-tally.ts';
import { sessionRefOf } from '../../src/session/session.ts';

describe('the reference of a session', () => {
  it('is the digest of its id, so that who sees it holds no capability', () => {
    const ref = sessionRefOf('ses_secret');
    expect(ref).toBe(toBase64Url(sha256('ses_secret')));
    expect(ref).toHaveLength(43);
    expect(ref).not.toContain('secret');
    expect(sessionRefOf('ses_secret')).toBe(ref);
    expect(sessionRefOf('ses_secres')).not.toBe(ref);
  });
});

describe('the tally of a kill that reached nothing', () => {
  it('claims no death and owes no proof', () => {
    expect(NOTHING_KILLED).toEqual({
      ...{ matched: 0, killed: 0, pending: 0, selfEnding: 0, unconfirmed: 0 },
      silent: [],
    });
  });
});
