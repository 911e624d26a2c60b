/** A replica's own ledger beside a shared store, on a real disk: from the feed's beginning, or from a snapshot. */
import { appendFile, mkdir, mkdtemp, readFile, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { LocalLedger } from '../../../src/edges/journal/local-ledger.ts';
import { lockDirectory } from '../../../src/edges/journal/lock.ts';
import type { CrashPoint, CrashPointName } from '../../../src/feed/crash-point.ts';
import type { EpochEntry, FeedLine, SealedEntry } from '../../../src/feed/entry.ts';
import { CHAIN_START, ENTRY_BYTES_MAX, nextChain, renderLine, sealEntry } from '../../../src/feed/entry.ts';
import type { Snapshot } from '../../../src/feed/feed-store.ts';
import { ORIGIN } from '../../../src/feed/position.ts';
import { CHUNK, renderHeader } from '../../../src/feed/snapshot.ts';
import { bulkRevocation, epoch, REPLICA_KEY, revocation } from '../../support/feed-entries.ts';

const nowhere = (): void => undefined;
const BEFORE = 7;
const base = {
  opening: epoch('ep_1', 'run_1').entry as EpochEntry,
  amnesia: epoch('ep_1', 'run_1').entry as EpochEntry,
  position: { epoch: 100, sequence: BEFORE },
  chain: 'c'.repeat(40),
  frontier: [1, 2, 3].map((byte) => new Uint8Array(32).fill(byte)),
};

function follow(chain: string, sequence: number, ...entries: SealedEntry[]): FeedLine[] {
  let last = chain;
  return entries.map((sealed, i) => {
    last = nextChain(last, sealed.text);
    return { sealed, chain: last, position: { epoch: 100, sequence: sequence + i } };
  });
}

const markEntry = sealEntry(
  { v: 1, id: 'mrk_1', at: '2026-11-24T05:00:00.000Z', by: 'inc_a', kind: 'mark', endedBeforeS: 5 },
  REPLICA_KEY,
);
const lines = follow(base.chain, BEFORE + 1, markEntry, revocation('r1'), revocation('r2'));
const [mark] = lines as [FeedLine, ...FeedLine[]];
const snapshot: Snapshot = {
  epochId: 'ep_1',
  position: mark.position,
  digest: 'd',
  entry: 'e',
  chunks: [
    Buffer.concat([Buffer.of(CHUNK.header), Buffer.from(renderHeader({ base, mark, endedBeforeS: 5 }))]),
    Buffer.from([1, 10, 13, 10]),
  ],
};

function snapshotAt(epochNo: number): Snapshot {
  const position = { epoch: epochNo, sequence: BEFORE + 1 };
  const header = renderHeader({
    base: { ...base, position: { epoch: epochNo, sequence: BEFORE } },
    mark: { ...mark, position },
    endedBeforeS: 5,
  });
  return { ...snapshot, position, chunks: [Buffer.concat([Buffer.of(CHUNK.header), Buffer.from(header)])] };
}

let dir: string;
let opened: LocalLedger[];
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'writ-ledger-'));
  opened = [];
});
afterEach(async () => {
  for (const ledger of opened) await ledger.close();
  await rm(dir, { recursive: true, force: true });
});

async function open(crashPoint: CrashPoint = nowhere): Promise<LocalLedger> {
  const { ledger } = await LocalLedger.open(join(dir, 'ledger'), crashPoint);
  opened.push(ledger);
  return ledger;
}

function dieAt(point: CrashPointName): CrashPoint {
  return (name) => {
    if (name === point) throw new Error('killed');
  };
}

async function closeAll(): Promise<void> {
  for (const ledger of opened.splice(0)) await ledger.close();
}

const positionsOf = (read: readonly FeedLine[]): number[] => read.map(({ position }) => position.sequence);

describe('a ledger that begins at a snapshot', () => {
  it('has the snapshot, what comes before its first line, and the lines from the mark on, also when it is opened again', async () => {
    const before = await open();
    await before.keep(follow(CHAIN_START, 1, epoch('ep_1', 'run_1'), revocation('r0')), []);
    expect([before.base, await before.snapshot()]).toEqual([undefined, undefined]);
    await before.begin(snapshot);
    await before.keep(lines.slice(0, 2), []);
    const check = async (ledger: LocalLedger): Promise<void> => {
      expect(ledger.base).toEqual(base);
      const { chunks = [], ...head } = (await ledger.snapshot()) ?? {};
      expect(head).toEqual({ ...snapshot, chunks: undefined });
      expect(chunks.map((chunk) => Buffer.from(chunk))).toEqual(snapshot.chunks);
      expect(positionsOf(await ledger.read(ORIGIN, 10))).toEqual([8, 9]);
      expect(positionsOf(await ledger.read(base.position, 1))).toEqual([8]);
      expect(positionsOf(await ledger.read(mark.position, 10))).toEqual([9]);
    };
    await check(before);
    await closeAll();
    const again = await open();
    await check(again);
    await again.keep(lines.slice(2), []);
    expect(positionsOf(await again.read(mark.position, 10))).toEqual([9, 10]);
  });

  it('is not there before its snapshot is whole, and does not open when that is damaged', async () => {
    const first = await open();
    await first.keep(follow(CHAIN_START, 1, epoch('ep_1', 'run_1')), []);
    await first.begin(snapshot);
    await closeAll();
    const file = join(dir, 'ledger-1-100-8', 'snapshot');
    await writeFile(file, '{"sizes":[900]}\nx');
    await expect(open()).rejects.toMatchObject({ code: 'JOURNAL_CORRUPT' });
    await rm(file);
    const earlier = await open();
    expect(earlier.base).toBeUndefined();
    expect(positionsOf(await earlier.read(ORIGIN, 10))).toEqual([1]);
  });

  it('is the one of several that was begun last, whatever the numbers of the histories that they are of', async () => {
    const first = await open();
    await first.begin(snapshotAt(2000));
    await first.begin(snapshotAt(100));
    await first.keep(lines, []);
    await closeAll();
    const again = await open();
    expect([again.base?.position.epoch, positionsOf(await again.read(ORIGIN, 10))]).toEqual([
      100,
      [8, 9, 10],
    ]);
    await again.begin(snapshotAt(300));
    await closeAll();
    expect((await open()).base?.position.epoch).toBe(300);
  });

  it('begins again at the snapshot that it began with before', async () => {
    const first = await open();
    await first.begin(snapshot);
    await first.keep(lines, []);
    await first.begin(snapshot);
    expect(await first.read(ORIGIN, 10)).toEqual([]);
    await first.keep(lines.slice(0, 1), []);
    await closeAll();
    expect(positionsOf(await (await open()).read(ORIGIN, 10))).toEqual([8]);
  });

  it('is, of several from before they had numbers, the furthest, until one is begun', async () => {
    const first = await open();
    for (const [i, epochNo] of [2000, 10_000, 300].entries()) {
      await first.begin(snapshotAt(epochNo));
      await rename(join(dir, `ledger-1-${epochNo}-8`), join(dir, `ledger-${epochNo}-8`));
      expect(await readdir(dir)).toHaveLength(2 + i);
    }
    await closeAll();
    const furthest = await open();
    expect(furthest.base?.position.epoch).toBe(10_000);
    await furthest.begin(snapshot);
    await closeAll();
    expect((await open()).base?.position.epoch).toBe(100);
  });

  it('is the one before wherever a crash keeps its successor from standing, and what that has left takes no room', async () => {
    const left = async (): Promise<string[]> =>
      (await readdir(dir, { recursive: true })).filter((name) => name.endsWith('.tmp'));
    await (await open()).begin(snapshotAt(2000));
    await closeAll();
    const halfWay = ['begin.before-lines', 'begin.before-snapshot', 'begin.before-name'] as const;
    for (const point of [...halfWay, ...halfWay]) {
      const dying = await open(dieAt(point));
      await expect(dying.begin(snapshot)).rejects.toThrow('killed');
      await closeAll();
      expect((await open()).base?.position.epoch).toBe(2000);
      expect(await left()).toHaveLength(point === 'begin.before-name' ? 1 : 0);
      await closeAll();
    }
    const dying = await open(dieAt('begin.before-mark'));
    await expect(dying.begin(snapshot)).rejects.toThrow('killed');
    await closeAll();
    expect([(await open()).base?.position.epoch, await left()]).toEqual([100, []]);
  });

  it('keeps a second process out of the one before until its own snapshot stands', async () => {
    const taken: unknown[] = [];
    const ledger = await open((point) => {
      if (!point.startsWith('begin.')) return;
      try {
        lockDirectory(join(dir, 'ledger')).release();
        taken.push(point);
      } catch (error) {
        expect(error).toMatchObject({ code: 'DATA_DIR_LOCKED' });
      }
    });
    await ledger.begin(snapshot);
    expect(taken).toEqual(['begin.before-mark']);
  });

  it('is none of what an operator has set aside there, under whatever name', async () => {
    await (await open()).begin(snapshot);
    await closeAll();
    await mkdir(join(dir, 'aside'));
    for (const name of ['ledger', 'ledger-1-100-8']) await rename(join(dir, name), join(dir, 'aside', name));
    expect((await open()).base).toBeUndefined();
    await closeAll();
    await rename(join(dir, 'aside', 'ledger-1-100-8'), join(dir, 'ledger-1-100-8-old'));
    expect((await open()).base).toBeUndefined();
  });

  it('knows after a restart what nobody has signed, whatever a crash has left there, and where a snapshot begins it anew', async () => {
    const all = follow(CHAIN_START, 1, epoch('ep_1', 'run_1'), revocation('r1'), revocation('r2'));
    const [, second, third] = all as [FeedLine, FeedLine, FeedLine];
    const ledger = await open();
    await ledger.keep(all, [second]);
    await closeAll();
    await appendFile(join(dir, 'ledger', 'forged'), '100-3 ');
    const again = await open();
    expect(all.map((line) => again.isForged(line))).toEqual([false, true, false]);
    const [fourth] = follow(third.chain, 4, revocation('r3')) as [FeedLine];
    await again.keep([fourth], [fourth]);
    await closeAll();
    const last = await open();
    expect([second, third, fourth].map((line) => last.isForged(line))).toEqual([true, false, true]);
    await last.begin(snapshot);
    expect(last.isForged(second)).toBe(false);
  });
});

describe('what a feed may bring', () => {
  const value = 'v'.repeat(ENTRY_BYTES_MAX - revocation('r0').text.length + 2);
  const largest = revocation('r0', { targets: [{ kind: 'jti', issuer: 'https://issuer.example', value }] });

  it.each([
    ['an entry twice in one epoch', revocation('r1'), revocation('r1')],
    ['the largest entry there may be', largest, revocation('r1')],
  ])('is kept, and there when it is opened again: %s', async (_, ...entries) => {
    const history = follow(CHAIN_START, 1, epoch('ep_1', 'run_1'), ...entries);
    await (await open()).keep(history, []);
    await closeAll();
    const again = await open();
    expect(await again.read({ epoch: 100, sequence: 2 }, 10)).toEqual(history.slice(2));
    const [next] = follow((history.at(-1) as FeedLine).chain, 4, revocation('r2')) as [FeedLine];
    await again.keep([next], []);
    expect(positionsOf(await again.read({ epoch: 100, sequence: 3 }, 10))).toEqual([4]);
  });
});

describe('lines that the fleet did not go on with', () => {
  const opening = epoch('ep_1', 'run_1');
  const history = follow(CHAIN_START, 1, opening, revocation('r0'), revocation('r1'));
  const other = follow((history[0] as FeedLine).chain, 2, revocation('r2'));
  const end = { ...(history[0] as FeedLine), opening: opening.entry as EpochEntry };

  it('are beside the ledger, which goes on without them, also when it is opened again', async () => {
    const ledger = await open();
    await ledger.keep(history, []);
    await ledger.cut(end);
    expect(await ledger.read(ORIGIN, 10)).toEqual(history.slice(0, 1));
    await ledger.keep(other, []);
    expect(await ledger.read(ORIGIN, 10)).toEqual([...history.slice(0, 1), ...other]);
    await closeAll();
    const again = await open();
    expect(await again.read(ORIGIN, 10)).toEqual([...history.slice(0, 1), ...other]);
    const names = (await readdir(join(dir, 'ledger'))).filter((name) => name.startsWith('beside-'));
    expect(names).toEqual([`beside-100-2-${(history[1] as FeedLine).chain.slice(0, 8)}.jsonl`]);
    const text = await readFile(join(dir, 'ledger', names[0] as string), 'utf8');
    expect(text).toBe(
      history
        .slice(1)
        .map((line) => `${renderLine(line)}\n`)
        .join(''),
    );
  });

  it('may be read while they are cut out: who reads has what is there before or after, and the ledger goes on', async () => {
    const bulks = Array.from({ length: 5 }, (_, i) => bulkRevocation(`b${i}`, 200));
    const all = follow(CHAIN_START, 1, opening, ...bulks);
    await (await open()).keep(all, []);
    await closeAll();
    const ledger = await open();
    const readers = Array.from({ length: 50 }, async (_, i) => {
      for (let turn = 0; turn < i; turn++) await new Promise((resolve) => setImmediate(resolve));
      return ledger.read({ epoch: 100, sequence: 1 + (i % 5) }, 10);
    });
    await ledger.cut(end);
    await ledger.keep(other, []);
    const texts = new Set([...all, ...other].map(renderLine));
    for (const read of await Promise.all(readers))
      expect(read.every((line) => texts.has(renderLine(line)))).toBe(true);
    expect(await ledger.read(ORIGIN, 10)).toEqual([...history.slice(0, 1), ...other]);
  });

  it('are none where nothing comes after', async () => {
    const ledger = await open();
    await ledger.keep(history.slice(0, 1), []);
    await ledger.cut(end);
    expect(await ledger.read(ORIGIN, 10)).toEqual(history.slice(0, 1));
    expect((await readdir(join(dir, 'ledger'))).some((name) => name.startsWith('beside-'))).toBe(false);
  });
});
