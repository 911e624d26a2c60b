/** Disks that are full, and disks that fail, for real: a small tmpfs, and errors that strace puts into system calls. */
import { execFileSync } from 'node:child_process';
import { readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { ForgedLines } from '../../../src/edges/journal/forged-lines.ts';
import { writeWhole } from '../../../src/edges/journal/whole-file.ts';
import { CHAIN_START, nextChain } from '../../../src/feed/entry.ts';
import type { FeedLine } from '../../../src/feed/entry.ts';
import { ContractReplica } from '../../contract/contract-replica.ts';
import { revocation } from '../../support/feed-entries.ts';
import { peerPath } from '../../support/peers.ts';
import { answeredIn, startAppender } from './appender-process.ts';
import { WRITTEN, beginEpoch, idsOf, makeDataDir, openJournal } from './data-dir.ts';

/** The first line of a feed. */
function beginning(): [FeedLine] {
  const sealed = revocation('r1');
  return [{ sealed, chain: nextChain(CHAIN_START, sealed.text), position: { epoch: 100, sequence: 1 } }];
}

/** Mounts a tmpfs of 64 KiB over a directory; undefined where this user may not. */
async function mountSmallDisk(): Promise<string | undefined> {
  const dataDir = await makeDataDir();
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=64k,mode=700', 'tmpfs', dataDir], { stdio: 'pipe' });
  } catch {
    return undefined;
  }
  onTestFinished(() => void execFileSync('umount', ['--lazy', dataDir]));
  return dataDir;
}

describe('a full disk', () => {
  it('lets no file be named that it took a part of, and says so of a forged line that it did not write down whole', async ({
    skip,
  }) => {
    const dataDir = await mountSmallDisk();
    if (dataDir === undefined) return skip('mount(8) is not permitted to this user; CI runs as root');
    // One page is left, of sixteen.
    await writeFile(join(dataDir, 'ballast'), Buffer.alloc(60 * 1024));
    const path = join(dataDir, 'whole');
    await expect(writeWhole(path, ['head\n', Buffer.alloc(6_000)])).rejects.toMatchObject({ code: 'ENOSPC' });
    expect(await readdir(dataDir)).not.toContain('whole');
    await rm(`${path}.tmp`);
    // In its last page there is room for a part of a name.
    await writeFile(join(dataDir, 'forged'), '\n'.repeat(4_090));
    const forged = await ForgedLines.open(dataDir);
    const [line] = beginning();
    await expect(forged.add([line])).rejects.toMatchObject({ code: 'ENOSPC' });
    expect(forged.has(line)).toBe(false);
  });

  it('makes appends uncertain, fences while it is full, and loses nothing once there is room', async ({
    skip,
  }) => {
    const dataDir = await mountSmallDisk();
    if (dataDir === undefined) return skip('mount(8) is not permitted to this user; CI runs as root');
    await writeFile(join(dataDir, 'ballast'), Buffer.alloc(24 * 1024));
    const { journal, facts } = await openJournal(dataDir);
    await beginEpoch(journal, facts);
    const a = new ContractReplica(journal, 'inc_a');
    expect((await a.renew()).kind).toBe('lease');
    const answered: string[] = [];
    const uncertain = await (async () => {
      for (let number = 0; ; number++) {
        const wave = Array.from({ length: 7 }, (_, index) => `r${number * 7 + index}`);
        const outcomes = await Promise.allSettled(wave.map((id) => journal.append('ep_1', revocation(id))));
        answered.push(...wave.filter((_, index) => outcomes[index]?.status === 'fulfilled'));
        const failed = outcomes.filter(({ status }) => status === 'rejected');
        if (failed.length > 0) return failed;
      }
    })();
    expect(answered.length).toBeGreaterThan(20);
    expect(uncertain).toHaveLength(7);
    for (const one of uncertain) {
      expect(one).toMatchObject({ reason: { code: 'APPEND_UNCERTAIN' } });
    }
    for (let round = 0; round < 3; round++) {
      await expect(a.renew()).rejects.toMatchObject({ code: 'STORE_UNREACHABLE', cause: { code: 'ENOSPC' } });
      await expect(journal.append('ep_1', revocation('x'))).rejects.toMatchObject({
        code: 'STORE_UNREACHABLE',
      });
    }
    await rm(join(dataDir, 'ballast'));
    expect(await a.renew()).toMatchObject({ kind: 'lease' });
    expect(await idsOf(journal)).toEqual([...WRITTEN, ...answered]);
    expect(await journal.append('ep_1', revocation('after'))).toMatchObject({
      position: { epoch: 100, sequence: answered.length + 3 },
    });
    await journal.close();
    const again = await openJournal(dataDir);
    expect(again.facts.cutTail).toBeUndefined();
    expect(await idsOf(again.journal)).toEqual([...WRITTEN, ...answered, 'after']);
  });

  it('at the start is no start, and says which directory', async ({ skip }) => {
    const dataDir = await mountSmallDisk();
    if (dataDir === undefined) return skip('mount(8) is not permitted to this user; CI runs as root');
    await writeFile(join(dataDir, 'ballast'), Buffer.alloc(64 * 1024));
    await expect(openJournal(dataDir)).rejects.toMatchObject({
      code: 'STORE_UNREACHABLE',
      message: expect.stringContaining(dataDir) as string,
    });
  });
});

/** Runs the appender with `error` in the `when`-th call of `call`. */
async function runWith(
  dataDir: string,
  call: string,
  error: string,
  when: number,
): Promise<readonly string[]> {
  const inject = `inject=${call}:error=${error}:when=${when}`;
  const tracer = [peerPath('strace'), '-f', '-qq', '-o', '/dev/null', '-e', `trace=${call}`, '-e', inject];
  const appender = startAppender({ dataDir, prefix: 'r', count: 5, width: 1 }, tracer);
  expect(await appender.ended).toBe(0);
  return appender.said;
}

/** What was said, without ids and places, repetitions left out: `answered`, `failed CODE`, `renewed KIND`. */
function courseOf(said: readonly string[]): readonly string[] {
  const words = said.map((line) => {
    const [what = '', first = '', second = ''] = line.split(' ');
    return what === 'failed'
      ? `failed ${second}`
      : what === 'renewed' || what === 'refused'
        ? `${what} ${first}`
        : what;
  });
  return words.filter((word, index) => word !== words[index - 1]);
}

async function expectAnsweredKept(dataDir: string, said: readonly string[]): Promise<readonly string[]> {
  const { journal } = await openJournal(dataDir);
  const ids = await idsOf(journal);
  for (const id of answeredIn(said).keys()) expect(ids).toContain(id);
  return ids;
}

describe('a disk that fails', () => {
  // fdatasync 1 is that of the mark at opening; 2 and 3 open the epoch and join; 4 to 8 append r0 to r4.
  it.each([4, 6, 8])(
    'in fdatasync number %i is not believed again: no lease, no append, until a restart',
    async (when) => {
      const dataDir = await makeDataDir();
      const said = await runWith(dataDir, 'fdatasync', 'EIO', when);
      const before = when > 4 ? ['answered'] : [];
      const broken = ['renewed STORE_BROKEN', 'failed STORE_BROKEN'];
      const after =
        when === 8
          ? broken.slice(0, 1)
          : [...broken, ...Array.from({ length: (7 - when) * 2 }, (_, i) => broken[i % 2]), broken[0]];
      expect(courseOf(said)).toEqual(['opened', ...before, 'failed APPEND_UNCERTAIN', ...after, 'done']);
      expect(answeredIn(said).size).toBe(when - 4);
      const ids = await expectAnsweredKept(dataDir, said);
      // The uncertain one was written, and the next start makes it durable.
      expect(ids).toEqual([...WRITTEN, 'r0', 'r1', 'r2', 'r3', 'r4'].slice(0, when - 1));
    },
  );

  it('in the first fdatasync does not start', async () => {
    const dataDir = await makeDataDir();
    expect(courseOf(await runWith(dataDir, 'fdatasync', 'EIO', 1))).toEqual(['refused STORE_UNREACHABLE']);
  });

  it('in the fsync of the directory does not start', async () => {
    const dataDir = await makeDataDir();
    expect(courseOf(await runWith(dataDir, 'fsync', 'EIO', 1))).toEqual(['refused STORE_UNREACHABLE']);
  });

  // pwrite64 1 reserves the mark's space; then each append writes its line and the mark: 2 and 3 open the epoch, 4 and 5
  // join, 6 is the line of r0 and 7 its mark.
  it.each(['EIO', 'ENOSPC'])(
    'in the write of a line with %s goes on once the disk takes writes',
    async (error) => {
      const dataDir = await makeDataDir();
      const said = await runWith(dataDir, 'pwrite64', error, 8);
      expect(courseOf(said)).toEqual([
        'opened',
        'answered',
        'failed APPEND_UNCERTAIN',
        'renewed lease',
        'answered',
        'done',
      ]);
      expect(await expectAnsweredKept(dataDir, said)).toEqual([...WRITTEN, 'r0', 'r2', 'r3', 'r4']);
    },
  );

  it('in the write of a mark goes on after a restart only', async () => {
    const dataDir = await makeDataDir();
    const said = await runWith(dataDir, 'pwrite64', 'EIO', 9);
    expect(courseOf(said).slice(0, 4)).toEqual([
      'opened',
      'answered',
      'failed APPEND_UNCERTAIN',
      'renewed STORE_BROKEN',
    ]);
    expect(await expectAnsweredKept(dataDir, said)).toEqual([...WRITTEN, 'r0', 'r1']);
  });
});
