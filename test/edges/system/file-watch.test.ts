/** On real files: every way in which a file becomes another one is told once, and one that is gone only when it stays so. */
import { mkdir, mkdtemp, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { FileWatch } from '../../../src/edges/system/file-watch.ts';
import { systemTimer } from '../../../src/edges/system/timer.ts';

const LOOK_MS = 400;
const QUIET_MS = 10;

let folder: string;
let file: string;
let watch: FileWatch | undefined;
let told: number;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'writ-watch-'));
  file = join(folder, 'bundle');
  await writeFile(file, 'one');
  told = 0;
});

afterEach(async () => {
  await watch?.close();
  await rm(folder, { recursive: true });
});

async function open(): Promise<void> {
  watch = await FileWatch.open({
    file,
    timer: systemTimer,
    onChange: () => (told += 1),
    lookMs: LOOK_MS,
    quietMs: QUIET_MS,
  });
}

describe('a file that is watched', () => {
  it('is told of when it is written in place, replaced, or behind a link that was swapped', async () => {
    await open();
    await writeFile(file, 'two, longer');
    await expect.poll(() => told).toBe(1);
    await writeFile(join(folder, 'next'), 'three');
    await rename(join(folder, 'next'), file);
    await expect.poll(() => told).toBe(2);
    await mkdir(join(folder, 'data'));
    await writeFile(join(folder, 'data', 'real'), 'four');
    await symlink(join(folder, 'data', 'real'), join(folder, 'link'));
    await rename(join(folder, 'link'), file);
    await expect.poll(() => told).toBe(3);
    await wait(LOOK_MS * 2);
    expect(told).toBe(3);
  });

  it('is told of once when it is taken away and does not come back, and again when it does', async () => {
    await open();
    await rm(file);
    await expect.poll(() => told, { timeout: 5_000 }).toBe(1);
    await wait(LOOK_MS * 2);
    expect(told).toBe(1);
    await writeFile(file, 'two');
    await expect.poll(() => told).toBe(2);
  });

  it('is told of once when whoever replaces it takes the old one away first', async () => {
    await open();
    await rm(file);
    await wait(LOOK_MS / 4);
    await writeFile(file, 'two');
    await expect.poll(() => told).toBe(1);
    await wait(LOOK_MS * 2);
    expect(told).toBe(1);
  });
});
