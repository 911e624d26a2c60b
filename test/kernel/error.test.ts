import { describe, expect, it } from 'vitest';
import { ERROR_CODES, explanationOf, isPassing, isWritError, WritError } from '../../src/kernel/error.ts';

describe('WritError', () => {
  it('carries code, message, cause and field', () => {
    const cause = new Error('underneath');
    const error = new WritError('FENCED', 'no lease', { cause, field: 'lease' });
    expect(error).toMatchObject({ name: 'WritError', code: 'FENCED', message: 'no lease', cause });
    expect(error.field).toBe('lease');
    expect(error).toBeInstanceOf(Error);
  });

  it('has no cause when none was given', () => {
    const error = new WritError('NOT_FOUND', 'no such revocation');
    expect('cause' in error).toBe(false);
    expect(error.field).toBeUndefined();
  });
});

describe('explanationOf', () => {
  it("is an error's own words where it is ours, and nothing of any other", () => {
    expect(explanationOf(new WritError('FENCED', 'no lease'))).toBe('no lease');
    expect(explanationOf(new Error('secret'))).toBe('something unforeseen happened');
  });
});

describe('isWritError', () => {
  it('tells a WritError, of the named codes where there are any', () => {
    const error: unknown = new WritError('FENCED', 'no lease');
    expect(isWritError(error)).toBe(true);
    expect(isWritError(error, 'NOT_FOUND', 'FENCED')).toBe(true);
    expect(isWritError(error, 'NOT_FOUND')).toBe(false);
    expect(isWritError(Object.assign(new Error('FENCED'), { code: 'FENCED' }))).toBe(false);
    expect(isWritError(undefined)).toBe(false);
  });
});

describe('what may be otherwise in a moment', () => {
  it('is what the store or a lease stands behind, and not what the request or the disk is at fault for', () => {
    expect(isPassing('STORE_UNREACHABLE')).toBe(true);
    expect(isPassing('APPEND_UNCERTAIN')).toBe(true);
    expect(isPassing('STORE_BROKEN')).toBe(false);
    expect(isPassing('NOT_FOUND')).toBe(false);
  });
});

describe('ERROR_CODES', () => {
  it('is sorted, and every code has a status of RFC 9110 and a title that is a constant sentence', () => {
    const codes = Object.keys(ERROR_CODES);
    expect(codes).toEqual(codes.toSorted());
    for (const { status, title } of Object.values(ERROR_CODES)) {
      expect(status).toBeGreaterThanOrEqual(400);
      expect(status).toBeLessThan(600);
      expect(title).toMatch(/^[a-z][^.]*$/);
    }
  });
});
