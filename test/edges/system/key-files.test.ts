import { execFileSync } from 'node:child_process';
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  fingerprintKeyOf,
  loadAdminToken,
  loadFleetKey,
  loadReplicaKey,
  logKeyOf,
  renderFleetKey,
} from '../../../src/edges/system/key-files.ts';
import { deriveKey, toBase64Url } from '../../../src/kernel/digest.ts';
import { signingKeyOf } from '../../../src/kernel/key.ts';

let dataDir: string;

beforeEach(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'writ-keys-'));
});

afterEach(async () => {
  await rm(dataDir, { recursive: true });
});

const SECRETS = [
  { file: 'fleet.key', prefix: '', load: () => loadFleetKey({ dataDir }) },
  { file: 'replica.key', prefix: '', load: () => loadReplicaKey(dataDir) },
  { file: 'admin-token', prefix: 'wat_', load: () => loadAdminToken(dataDir) },
] as const;

describe.each(SECRETS)('$file', ({ file, prefix, load }) => {
  const pathOf = () => join(dataDir, file);

  it('is made at first start: one line, readable by its owner only, whatever the umask', async () => {
    const umask = process.umask(0);
    try {
      await load();
    } finally {
      process.umask(umask);
    }
    expect((await stat(pathOf())).mode & 0o777).toBe(0o600);
    expect(await readFile(pathOf(), 'utf8')).toMatch(new RegExp(`^${prefix}[A-Za-z0-9_-]{43}\n$`));
    expect(await readdir(dataDir)).toEqual([file]);
  });

  it('is made in a data directory that is not there yet', async () => {
    await rm(dataDir, { recursive: true });
    await load();
    expect(await readdir(dataDir)).toEqual([file]);
  });

  it('is another one each time it is made, and the same one ever after', async () => {
    await load();
    const first = await readFile(pathOf(), 'utf8');
    await load();
    expect(await readFile(pathOf(), 'utf8')).toBe(first);
    await rm(pathOf());
    await load();
    expect(await readFile(pathOf(), 'utf8')).not.toBe(first);
  });

  it('is one for all who start at the same moment', async () => {
    const loaded = await Promise.all(Array.from({ length: 6 }, () => load()));
    expect(new Set(loaded.map((secret) => inspect(secret))).size).toBe(1);
    expect(await readdir(dataDir)).toEqual([file]);
  });

  it.each([0o640, 0o604, 0o620, 0o602, 0o610, 0o644, 0o777])(
    'is refused when its mode is %o',
    async (mode) => {
      await load();
      await chmod(pathOf(), mode);
      await expect(load()).rejects.toMatchObject({
        code: 'KEY_INVALID',
        message: expect.stringContaining('can be read or changed by others: chmod 600 it') as string,
      });
    },
  );

  it('is taken with mode 0400, and without the newline at its end', async () => {
    await load();
    const text = await readFile(pathOf(), 'utf8');
    const secret = await load();
    await writeFile(pathOf(), text.trimEnd());
    await chmod(pathOf(), 0o400);
    expect(inspect(await load())).toBe(inspect(secret));
    await chmod(pathOf(), 0o600);
    await writeFile(pathOf(), `${text.trimEnd()}\r\n`);
    expect(inspect(await load())).toBe(inspect(secret));
  });

  const canary = 'Canary'.padEnd(43, 'A');
  it.each([
    ['empty', ''],
    ['cut', `${prefix}${canary.slice(1)}\n`],
    ['longer', `${prefix}${canary}AAAA\n`],
    ['not canonical: bits are set that mean nothing', `${prefix}${canary.slice(0, 42)}B\n`],
    ['of another alphabet', `${prefix}${canary.slice(0, 42)}+\n`],
    ['two lines', `${prefix}${canary}\n${prefix}${canary}\n`],
    ['followed by an empty line', `${prefix}${canary}\n\n`],
    ['preceded by a space', ` ${prefix}${canary}\n`],
    ['with another prefix', `wbt_${canary}\n`],
    ['huge', `${prefix}${canary}\n`.repeat(1_000)],
    ['zeroed', '\0'.repeat(44)],
  ])('is refused when it is %s, is not replaced, and is not quoted', async (_, text) => {
    await writeFile(pathOf(), text, { mode: 0o600 });
    const refusal: unknown = await load().then(
      () => 'accepted',
      (error: unknown) => error,
    );
    expect(refusal).toMatchObject({ code: 'KEY_INVALID' });
    expect(inspect(refusal)).not.toContain('Canary');
    expect(await readFile(pathOf(), 'utf8')).toBe(text);
  });

  it('is refused when it is a folder, a pipe, or a link that leads nowhere', async () => {
    await mkdir(pathOf());
    await expect(load()).rejects.toMatchObject({ code: 'KEY_INVALID' });
    await rm(pathOf(), { recursive: true });
    execFileSync('mkfifo', ['-m', '600', pathOf()]);
    await expect(load()).rejects.toMatchObject({
      code: 'KEY_INVALID',
      message: expect.stringMatching(/is no file$/) as string,
    });
    await rm(pathOf());
    await symlink(join(dataDir, 'gone'), pathOf());
    await expect(load()).rejects.toMatchObject({ code: 'KEY_INVALID' });
    expect(await readdir(dataDir)).toEqual([file]);
  });

  it('is refused when it cannot be opened', async () => {
    await symlink(pathOf(), pathOf());
    await expect(load()).rejects.toMatchObject({
      code: 'KEY_INVALID',
      message: expect.stringMatching(/cannot be read \(ELOOP\)$/) as string,
    });
  });
});

describe('loadFleetKey', () => {
  it('takes the configured file, also through a link, and makes none in the data directory', async () => {
    const file = join(dataDir, 'shared');
    const key = new Uint8Array(32).fill(9);
    await writeFile(file, renderFleetKey(key), { mode: 0o600 });
    await symlink(file, join(dataDir, 'link'));
    expect(await loadFleetKey({ file, dataDir })).toEqual(key);
    expect(await loadFleetKey({ file: join(dataDir, 'link'), dataDir })).toEqual(key);
    expect(await readdir(dataDir)).toEqual(['link', 'shared']);
  });

  it('never makes a configured file: a key made here would be another fleet, unnoticed', async () => {
    const file = join(dataDir, 'shared');
    await expect(loadFleetKey({ file, dataDir })).rejects.toMatchObject({
      code: 'KEY_INVALID',
      message: `fleet key ${file} does not exist`,
    });
    expect(await readdir(dataDir)).toEqual([]);
  });
});

describe('the keys under the fleet key', () => {
  it('are one for each label, and the log key is the one that the label gives', () => {
    const fleetKey = new Uint8Array(32).fill(1);
    const expected = signingKeyOf(deriveKey(fleetKey, 'writ log key')).public.x;
    expect(logKeyOf(fleetKey).public.x).toBe(expected);
    expect(fingerprintKeyOf(fleetKey)).toEqual(deriveKey(fleetKey, 'writ fingerprint'));
    expect(toBase64Url(fingerprintKeyOf(fleetKey))).not.toBe(
      toBase64Url(deriveKey(fleetKey, 'writ log key')),
    );
  });
});

describe('loadReplicaKey', () => {
  it('is the key whose seed the file holds', async () => {
    const seed = new Uint8Array(32).fill(5);
    await writeFile(join(dataDir, 'replica.key'), `${toBase64Url(seed)}\n`, { mode: 0o600 });
    expect((await loadReplicaKey(dataDir)).public.x).toBe(signingKeyOf(seed).public.x);
  });
});
