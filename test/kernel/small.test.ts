/** The smallest files of kernel/, which have a line or two each. */
import { describe, expect, it } from 'vitest';
import { LIMITS } from '../../src/kernel/limits.ts';
import { LOG_FIELDS } from '../../src/kernel/log.ts';
import { newId } from '../../src/kernel/random.ts';
import { unreachable } from '../../src/kernel/unreachable.ts';

describe('newId', () => {
  it('is the prefix and 128 bits of the given randomness in base64url', () => {
    const asked: number[] = [];
    const random = {
      bytes: (size: number) => {
        asked.push(size);
        return new Uint8Array(size).fill(0xff);
      },
    };
    expect(newId('rev', random)).toBe('rev______________________w');
    expect(asked).toEqual([16]);
  });
});

describe('unreachable', () => {
  it('throws INTERNAL and quotes nothing of the value', () => {
    expect(() => unreachable('secret' as never)).toThrow(
      expect.objectContaining({ code: 'INTERNAL', message: 'unreachable: string' }),
    );
  });
});

describe('LIMITS', () => {
  it('are positive whole numbers with the unit last in their names', () => {
    for (const [name, value] of Object.entries(LIMITS)) {
      expect(Number.isSafeInteger(value) && value > 0, name).toBe(true);
      expect(name).toMatch(/(Max|Min|Ms|MsDefault|MsMax)$/);
    }
  });
});

describe('LOG_FIELDS', () => {
  it('are sorted, unique, and name nothing that could hold a credential', () => {
    expect([...LOG_FIELDS]).toEqual([...new Set(LOG_FIELDS)].toSorted());
    for (const field of LOG_FIELDS)
      expect(field).not.toMatch(/token|secret|session|authorization|password|credential/i);
  });
});
