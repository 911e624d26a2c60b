import { chmod, mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createFileDurably, makeDataDir, writeFileDurably } from '../../../src/edges/system/files.ts';

let dir: string;

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'writ-files-'));
});

afterEach(async () => {
  await rm(dir, { recursive: true });
});

const modeOf = async (path: string) => (await stat(path)).mode & 0o777;

describe('writeFileDurably', () => {
  it('replaces the file, with the mode that was asked for, and leaves nothing beside it', async () => {
    const path = join(dir, 'file');
    await writeFile(path, 'old', { mode: 0o644 });
    await writeFileDurably(path, 'new');
    expect(await readFile(path, 'utf8')).toBe('new');
    expect(await modeOf(path)).toBe(0o600);
    await writeFileDurably(path, new Uint8Array([1, 2]), { mode: 0o640 });
    expect(new Uint8Array(await readFile(path))).toEqual(new Uint8Array([1, 2]));
    expect(await modeOf(path)).toBe(0o640);
    expect(await readdir(dir)).toEqual(['file']);
  });

  it('shows a reader the old or the new text and never a part of one', async () => {
    const path = join(dir, 'file');
    const texts = ['a', 'b'].map((char) => char.repeat(100_000));
    await writeFileDurably(path, texts[0] ?? '');
    let isDone = false;
    const writing = (async () => {
      for (let i = 0; i < 20; i++) await writeFileDurably(path, texts[i % 2] ?? '');
      isDone = true;
    })();
    while (!isDone) expect(texts).toContain(await readFile(path, 'utf8'));
    await writing;
  });

  it('is INTERNAL when the file cannot be written, and leaves what was there', async () => {
    const taken = join(dir, 'taken');
    await mkdir(join(taken, 'inner'), { recursive: true });
    await expect(writeFileDurably(taken, 'x')).rejects.toMatchObject({
      code: 'INTERNAL',
      message: `${taken} cannot be written (EISDIR)`,
    });
    await expect(writeFileDurably(join(dir, 'no', 'file'), 'x')).rejects.toMatchObject({ code: 'INTERNAL' });
    expect(await readdir(dir)).toEqual(['taken']);
  });
});

describe('createFileDurably', () => {
  it('makes the file once: a second call changes nothing and says so', async () => {
    const path = join(dir, 'file');
    expect(await createFileDurably(path, 'first')).toBe(true);
    expect(await createFileDurably(path, 'second')).toBe(false);
    expect(await readFile(path, 'utf8')).toBe('first');
    expect(await modeOf(path)).toBe(0o600);
    expect(await readdir(dir)).toEqual(['file']);
  });

  it('lets exactly one of many at once win, whole', async () => {
    const path = join(dir, 'file');
    const texts = Array.from({ length: 8 }, (_, i) => String(i).repeat(10_000));
    const outcomes = await Promise.all(texts.map((text) => createFileDurably(path, text)));
    expect(outcomes.filter(Boolean)).toHaveLength(1);
    expect(await readFile(path, 'utf8')).toBe(texts[outcomes.indexOf(true)]);
    expect(await readdir(dir)).toEqual(['file']);
  });

  it('does not write through a symbolic link that leads nowhere', async () => {
    const path = join(dir, 'file');
    await symlink(join(dir, 'target'), path);
    expect(await createFileDurably(path, 'x')).toBe(false);
    expect(await readdir(dir)).toEqual(['file']);
  });

  it('is INTERNAL when the file cannot be made for another reason', async () => {
    await expect(createFileDurably(join(dir, 'no', 'file'), 'x')).rejects.toMatchObject({ code: 'INTERNAL' });
  });
});

describe('makeDataDir', () => {
  it('makes it for its owner only, and leaves one that is there alone', async () => {
    const path = join(dir, 'a', 'b');
    await makeDataDir(path);
    expect(await modeOf(path)).toBe(0o700);
    await chmod(path, 0o750);
    await makeDataDir(path);
    expect(await modeOf(path)).toBe(0o750);
  });

  it('is CONFIG_INVALID that names the key when the path is taken by a file', async () => {
    const path = join(dir, 'file');
    await writeFile(path, '');
    await expect(makeDataDir(path)).rejects.toMatchObject({ code: 'CONFIG_INVALID', field: 'dataDir' });
  });
});
