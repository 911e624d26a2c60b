import { describe, expect, it } from 'vitest';
import { ProofLog } from '../../src/credential/proof-log.ts';
import { LIMITS } from '../../src/kernel/limits.ts';

const SPAN_MS = 2 * LIMITS.proofAgeMs;

describe('the log of used proofs', () => {
  it('knows a proof again for as long as it could be accepted, whenever that began', () => {
    for (let startMs = 0; startMs < 4 * SPAN_MS; startMs += SPAN_MS / 7) {
      const log = new ProofLog(10);
      expect(log.use('key', 'other', 1)).toBe('first');
      expect(log.use('key', 'jti', startMs)).toBe('first');
      for (let atMs = startMs; atMs < startMs + SPAN_MS; atMs += SPAN_MS / 9)
        expect(log.use('key', 'jti', atMs), `${startMs} ${atMs}`).toBe('replayed');
    }
  });

  it('tells keys and jtis apart, wherever the border between them is', () => {
    const log = new ProofLog(10);
    expect(log.use('a', 'bc', 0)).toBe('first');
    expect(log.use('ab', 'c', 0)).toBe('first');
    expect(log.use('a', 'b', 0)).toBe('first');
    expect(log.use('a', 'bc', 0)).toBe('replayed');
  });

  it('says that it is full instead of forgetting, and has room again when proofs are over', () => {
    const log = new ProofLog(2);
    expect(log.use('k', '1', 0)).toBe('first');
    expect(log.use('k', '2', 0)).toBe('first');
    expect(log.use('k', '3', 1)).toBe('full');
    expect(log.use('k', '1', 1)).toBe('replayed');
    expect(log.use('k', '3', SPAN_MS)).toBe('full');
    expect(log.use('k', '3', 2 * SPAN_MS)).toBe('first');
    expect(log.use('k', '1', 9 * SPAN_MS)).toBe('first');
  });
});
