import { describe, expect, it } from 'vitest';
import { LINE_CHARS_MAX, parseText, splitLines } from '../../src/evidence/text.ts';

async function linesOf(...chunks: (string | Uint8Array)[]): Promise<string[]> {
  const bytes = chunks.map((chunk) => (typeof chunk === 'string' ? Buffer.from(chunk) : chunk));
  const lines: string[] = [];
  for await (const line of splitLines(bytes)) lines.push(line);
  return lines;
}

describe('the text of a proof', () => {
  it('is what the bytes say, byte order mark and all', () => {
    expect(parseText(Buffer.from('naïve €'))).toBe('naïve €');
    expect(parseText(Buffer.from('\ufeffx'))).toBe('\ufeffx');
    expect(parseText('as it is')).toBe('as it is');
  });

  it('is refused when the bytes are not UTF-8, so that no two files read as one text', () => {
    // A lenient decoder reads both as U+FFFD.
    expect(parseText(Buffer.from([0xef, 0xbf, 0xbd]))).toBe('\ufffd');
    expect(() => parseText(Buffer.from([0xf1, 0xbf, 0xbd]))).toThrow(/not UTF-8/);
    expect(() => parseText('half \ud800')).toThrow(/not UTF-8/);
  });
});

describe('the lines of an export', () => {
  it('are the same however the bytes arrive', async () => {
    const whole = Buffer.from('één\nzwei €\n\nvier\n');
    for (let cut = 0; cut <= whole.length; cut++) {
      expect(await linesOf(whole.subarray(0, cut), whole.subarray(cut))).toEqual([
        'één',
        'zwei €',
        '',
        'vier',
      ]);
    }
    expect(await linesOf()).toEqual([]);
  });

  it('are refused without a newline at the end', async () => {
    await expect(linesOf('a\nb')).rejects.toThrow(/does not end in a newline/);
  });

  it('are refused when they are not UTF-8, also where the file is cut inside a character', async () => {
    await expect(linesOf(Buffer.from([0x61, 0xff, 0x0a]))).rejects.toThrow(/not UTF-8/);
    await expect(linesOf(Buffer.from([0x61, 0x0a, 0xe2, 0x82]))).rejects.toThrow(/not UTF-8/);
  });

  it('are refused when one is longer than any entry, before it fills the memory', async () => {
    const chunk = 'x'.repeat(LINE_CHARS_MAX / 2 + 1);
    await expect(linesOf(chunk, chunk, '\n')).rejects.toThrow(/too long/);
  });
});
