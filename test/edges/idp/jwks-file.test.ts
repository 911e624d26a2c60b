import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createJwksFile } from '../../../src/edges/idp/jwks-file.ts';
import { REFRESH_RULES } from '../../../src/edges/idp/refreshed-keys.ts';
import { LIMITS } from '../../../src/kernel/limits.ts';
import { ISSUER, keyFor, makeKey } from '../../support/tokens.ts';

const ec = keyFor('ES256');
const next = makeKey('ES256', 'next');
let folder = '';

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'writ-jwks-'));
});

afterAll(async () => {
  await rm(folder, { recursive: true });
});

function bench(file: string, rules = {}) {
  const now = { monoMs: 0, wallMs: 0 };
  const codes: unknown[] = [];
  const keys = createJwksFile({
    file: join(folder, file),
    issuer: ISSUER,
    use: 'sig',
    clock: { now: () => ({ ...now }) },
    log: { info: () => undefined, warn: (_, fields) => codes.push(fields?.code), error: () => undefined },
    ...rules,
  });
  return { keys, now, codes };
}

function write(file: string, ...keys: object[]): Promise<void> {
  return writeFile(join(folder, file), JSON.stringify({ keys }));
}

describe('keys in a file', () => {
  it('are read, and read again when a token names one that was put in a second later', async () => {
    await write('good.json', ec.jwk);
    const { keys, now } = bench('good.json');
    expect(keys.isAvailable()).toBe(false);
    await keys.refresh();
    expect(keys.lookup(ec.kid, 'ES256').state).toBe('found');
    await write('good.json', next.jwk);
    await keys.refresh();
    expect(keys.lookup(next.kid, 'ES256').state).toBe('unknown');
    now.monoMs = 1_000;
    await keys.refresh();
    expect(keys.lookup(next.kid, 'ES256').state).toBe('found');
    expect(keys.lookup(ec.kid, 'ES256').state).toBe('unknown');
  });

  it('may be kept by other rules', async () => {
    await write('rules.json', ec.jwk);
    const { keys, now } = bench('rules.json', { rules: REFRESH_RULES });
    await keys.refresh();
    await write('rules.json', next.jwk);
    now.monoMs = 1_000;
    await keys.refresh();
    expect(keys.lookup(next.kid, 'ES256').state).toBe('unknown');
  });

  it('stay as they were when the file is gone, damaged or too large', async () => {
    await write('bad.json', ec.jwk);
    const { keys, now, codes } = bench('bad.json');
    await keys.refresh();
    const file = join(folder, 'bad.json');
    const damage = [
      () => rm(file),
      () => writeFile(file, '{"keys":['),
      () => writeFile(file, ' '.repeat(LIMITS.jwksBytesMax + 1)),
      () => writeFile(file, ' '.repeat(10 * LIMITS.jwksBytesMax)),
    ];
    for (const harm of damage) {
      await harm();
      now.monoMs += 60_000;
      await keys.refresh();
      expect(keys.lookup(ec.kid, 'ES256').state).toBe('found');
    }
    expect(codes).toEqual(['INTERNAL', 'KEY_INVALID', 'KEY_INVALID', 'KEY_INVALID']);
  });

  it('may fill the limit to the last byte', async () => {
    const text = JSON.stringify({ keys: [ec.jwk] });
    await writeFile(join(folder, 'full.json'), text.padEnd(LIMITS.jwksBytesMax));
    const { keys } = bench('full.json');
    await keys.refresh();
    expect(keys.isAvailable()).toBe(true);
  });

  it('are not there when the file is not', async () => {
    const { keys } = bench('absent.json');
    await keys.refresh();
    expect(keys.lookup(ec.kid, 'ES256').state).toBe('unavailable');
  });
});
