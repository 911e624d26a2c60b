/** SIGKILL, for real, at every place between two steps of a write and at any other moment: nothing answered is lost. */
import { describe, expect, it } from 'vitest';
import type { CrashPointName } from '../../../src/feed/crash-point.ts';
import { ORIGIN, renderPosition } from '../../../src/feed/position.ts';
import { revocation } from '../../support/feed-entries.ts';
import type { AppenderProcess } from './appender-process.ts';
import { answeredIn, startAppender } from './appender-process.ts';
import { makeDataDir, openJournal, refusalOf } from './data-dir.ts';

/** Every line after a crash, id -> position; the journal is closed again. */
async function keptIn(dataDir: string): Promise<ReadonlyMap<string, string>> {
  const { journal, facts } = await openJournal(dataDir);
  // A killed process tears nothing: what it handed to the kernel is whole.
  expect(facts.cutTail).toBeUndefined();
  const kept = new Map<string, string>();
  for (let after = ORIGIN; ;) {
    const lines = await journal.read(after, 1000);
    for (const { sealed, position } of lines) kept.set(sealed.entry.id, renderPosition(position));
    const last = lines.at(-1);
    if (last === undefined) break;
    after = last.position;
  }
  await journal.close();
  return kept;
}

function expectAllKept(kept: ReadonlyMap<string, string>, { said }: AppenderProcess): void {
  const answered = answeredIn(said);
  expect(answered.size).toBeGreaterThan(0);
  expect([...answered].filter(([id, position]) => kept.get(id) !== position)).toEqual([]);
}

describe('a process that is killed', () => {
  const points: readonly (readonly [CrashPointName, boolean])[] = [
    ['append.before-write', false],
    ['append.before-fsync', true],
    ['append.before-reply', true],
  ];

  it.each(points)('at %s has lost nothing that it had answered', async (point, isWritten) => {
    const dataDir = await makeDataDir();
    // Opening the epoch and joining pass each point too; the ninth is the append of r6.
    const appender = startAppender({ dataDir, prefix: 'r', count: 20, width: 1, crash: { point, at: 9 } });
    expect(await appender.ended).toBe('SIGKILL');
    const kept = await keptIn(dataDir);
    expectAllKept(kept, appender);
    expect([...answeredIn(appender.said).keys()]).toEqual(['r0', 'r1', 'r2', 'r3', 'r4', 'r5']);
    expect(kept.has('r6')).toBe(isWritten);
    // Whoever did not get its answer asks again, and gets the one place there is.
    const { journal } = await openJournal(dataDir);
    expect(await journal.append('ep_1', revocation('r6'))).toMatchObject({
      position: { epoch: 100, sequence: 9 },
      duplicate: isWritten,
    });
  });

  it.each(points)('at %s with many appends under way has lost nothing either', async (point) => {
    const dataDir = await makeDataDir();
    const appender = startAppender({
      dataDir,
      prefix: 'r',
      count: 5000,
      width: 64,
      crash: { point, at: 12 },
    });
    expect(await appender.ended).toBe('SIGKILL');
    expectAllKept(await keptIn(dataDir), appender);
  });

  it('at its very first write leaves a directory that opens', async () => {
    for (const [point] of points) {
      const dataDir = await makeDataDir();
      const appender = startAppender({ dataDir, prefix: 'r', count: 1, width: 1, crash: { point, at: 1 } });
      expect(await appender.ended).toBe('SIGKILL');
      expect([...(await keptIn(dataDir)).keys()]).toEqual(
        point === 'append.before-write' ? [] : ['ent_ep_1'],
      );
    }
  });

  it('again and again, at any moment, keeps everything of every life', async () => {
    const dataDir = await makeDataDir();
    const lives: AppenderProcess[] = [];
    for (let life = 0; life < 5; life++) {
      const appender = startAppender({ dataDir, prefix: `life${life}_`, count: 1_000_000, width: 16 });
      lives.push(appender);
      await appender.says(`answered life${life}_${20 + life * 37}`);
      appender.child.kill('SIGKILL');
      expect(await appender.ended).toBe('SIGKILL');
    }
    const kept = await keptIn(dataDir);
    for (const life of lives) expectAllKept(kept, life);
  });
});

describe('a second process', () => {
  it('is refused while the first lives, stopped or not, and goes on where it was killed', async () => {
    const dataDir = await makeDataDir();
    const first = startAppender({ dataDir, prefix: 'r', count: 3, width: 1, stays: true });
    await first.says('done');
    expect(await refusalOf(dataDir)).toMatchObject({ code: 'DATA_DIR_LOCKED' });
    const second = startAppender({ dataDir, prefix: 's', count: 1, width: 1 });
    expect(await second.ended).toBe(0);
    expect(second.said).toEqual([
      `refused DATA_DIR_LOCKED another process holds the data directory ${dataDir}`,
    ]);
    first.child.kill('SIGSTOP');
    expect((await refusalOf(dataDir)).code).toBe('DATA_DIR_LOCKED');
    first.child.kill('SIGKILL');
    await first.ended;
    expectAllKept(await keptIn(dataDir), first);
  });
});
