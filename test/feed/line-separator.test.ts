import { describe, expect, it } from 'vitest';
import { leafText, parseLine, renderLine, sealEntry } from '../../src/feed/entry.ts';
import { seededKey } from '../support/fleet-fixture.ts';

describe('a line of the feed', () => {
  it('is read back whatever a caller wrote as the reason, line separators of Unicode included', () => {
    const sealed = sealEntry(
      {
        v: 1,
        id: 'rev_1',
        at: '2026-10-01T08:00:00.000Z',
        by: 'inc_1',
        kind: 'revocation',
        targets: [{ kind: 'all' }],
        reason: 'a\u2028b\u2029c\u0085d\ne',
        caller: 'admin',
        body: 'b',
      },
      seededKey('replica'),
    );
    const line = { position: { epoch: 1, sequence: 1 }, chain: '0'.repeat(40), sealed };
    expect(renderLine(line)).not.toContain('\n');
    expect(parseLine(renderLine(line))).toEqual(line);
    expect(leafText(parseLine(renderLine(line)))).toBe(leafText(line));
  });
});
