/** What the journal does when the disk, or somebody else on this machine, fails it. In-process: the calls fail by order. */
import { appendFile, copyFile, mkdir, readFile, rename, rm, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { JournalFeedStore } from '../../../src/edges/journal/journal-feed-store.ts';
import type { Syscalls } from '../../../src/edges/journal/syscalls.ts';
import { SYSCALLS } from '../../../src/edges/journal/syscalls.ts';
import type { RenewReply } from '../../../src/feed/feed-store.ts';
import { ORIGIN } from '../../../src/feed/position.ts';
import { ContractReplica } from '../../contract/feed-store.ts';
import { bulkRevocation, epoch, replica, revocation } from '../../support/feed-entries.ts';
import {
  beginEpoch,
  idsOf,
  journalPath,
  makeDataDir,
  makeJournal,
  markPath,
  openJournal,
} from './data-dir.ts';

const WRITTEN = ['ent_ep_1', 'joined_inc_a'];
const BROKEN = { name: 'WritError', code: 'STORE_BROKEN' };
const UNREACHABLE = { name: 'WritError', code: 'STORE_UNREACHABLE' };
const UNCERTAIN = { name: 'WritError', code: 'APPEND_UNCERTAIN' };

type Call = 'write' | 'sync';

/** What happens in place of a call; `pass` makes the real one. */
type Instead = (pass: () => Promise<number>) => Promise<number>;

/** System calls that fail, or hang, when they are told to. */
class FaultyCalls implements Syscalls {
  readonly written: Buffer[] = [];
  syncs = 0;
  readonly #instead: Record<Call, Instead[]> = { write: [], sync: [] };

  get writes(): number {
    return this.written.length;
  }

  /** Lets the next `call`, or the one after those that were set before, do `instead`. */
  next(call: Call, instead: Instead): void {
    this.#instead[call].push(instead);
  }

  fail(call: Call, code: string): void {
    this.next(call, () => Promise.reject(errorOf(code)));
  }

  async write(...args: Parameters<Syscalls['write']>): Promise<number> {
    this.written.push(Buffer.from(args[1]));
    const pass = (): Promise<number> => SYSCALLS.write(...args);
    return (this.#instead.write.shift() ?? passOn)(pass);
  }

  async sync(...args: Parameters<Syscalls['sync']>): Promise<void> {
    this.syncs += 1;
    const pass = (): Promise<number> => SYSCALLS.sync(...args).then(() => 0);
    await (this.#instead.sync.shift() ?? passOn)(pass);
  }
}

const passOn: Instead = (pass) => pass();

function errorOf(code: string): Error {
  return Object.assign(new Error(code), { code });
}

interface Started {
  readonly dataDir: string;
  readonly journal: JournalFeedStore;
  readonly calls: FaultyCalls;
  readonly a: ContractReplica;
}

/** A journal of one epoch whose only incarnation holds a lease. */
async function start(callMs?: number): Promise<Started> {
  const dataDir = await makeDataDir('memory');
  const calls = new FaultyCalls();
  const { journal, facts } = await openJournal(dataDir, {
    syscalls: calls,
    ...(callMs === undefined ? {} : { callMs }),
  });
  await beginEpoch(journal, facts);
  const a = new ContractReplica(journal, 'inc_a');
  expect((await a.renew()).kind).toBe('lease');
  return { dataDir, journal, calls, a };
}

/** Expects everything on `journal` to be refused for good. */
async function expectBroken({ journal, a }: Started): Promise<void> {
  for (let round = 0; round < 2; round++) {
    await expect(a.renew()).rejects.toMatchObject(BROKEN);
    await expect(journal.append('ep_1', revocation('later'))).rejects.toMatchObject(BROKEN);
    await expect(journal.roster()).rejects.toMatchObject(BROKEN);
  }
}

describe('a failed write', () => {
  it('leaves the fate of its batch unknown, fences, and is repaired once the disk takes writes again', async () => {
    const started = await start();
    const { dataDir, journal, calls, a } = started;
    await journal.append('ep_1', revocation('r1'));
    const before = await readFile(journalPath(dataDir));
    calls.next('write', async () => {
      await appendFile(journalPath(dataDir), '{"chain":"part of a rec');
      throw errorOf('ENOSPC');
    });
    const both = [revocation('r2'), revocation('r3')].map((sealed) => journal.append('ep_1', sealed));
    for (const one of both) await expect(one).rejects.toMatchObject(UNCERTAIN);
    await expect(journal.append('ep_1', revocation('r4'))).rejects.toMatchObject(UNREACHABLE);
    await expect(journal.roster()).rejects.toMatchObject(UNREACHABLE);
    // Nothing can be written to the directory yet: the probe's name is taken.
    await mkdir(join(dataDir, 'journal.probe'));
    await expect(a.renew()).rejects.toMatchObject(UNREACHABLE);
    await rm(join(dataDir, 'journal.probe'), { recursive: true });
    // Two that come at once share one repair.
    const stranger = new ContractReplica(journal, 'inc_x');
    const replies = await Promise.all([a.renew(), stranger.renew()]);
    expect(replies.map(({ kind }) => kind)).toEqual(['lease', 'stale']);
    expect(await readFile(journalPath(dataDir))).toEqual(before);
    expect(await journal.append('ep_1', revocation('r2'))).toMatchObject({
      position: { sequence: 4 },
      duplicate: false,
    });
    await journal.close();
    const again = await openJournal(dataDir);
    expect(await idsOf(again.journal)).toEqual([...WRITTEN, 'r1', 'r2']);
    expect(again.facts.cutTail).toBeUndefined();
  });

  it('may be a write in part', async () => {
    const { journal, calls, a, dataDir } = await start();
    const before = await readFile(journalPath(dataDir));
    calls.next('write', async () => {
      await appendFile(journalPath(dataDir), 'short');
      return 5;
    });
    await expect(journal.append('ep_1', revocation('r1'))).rejects.toMatchObject(UNCERTAIN);
    expect((await a.renew()).kind).toBe('lease');
    expect(await readFile(journalPath(dataDir))).toEqual(before);
  });

  it('shows nothing of what it wrote to anybody', async () => {
    const { journal, calls, a, dataDir } = await start();
    calls.fail('write', 'ENOSPC');
    await expect(journal.append('ep_1', revocation('r1'))).rejects.toMatchObject(UNCERTAIN);
    const reply = await a.renew();
    expect(reply).toMatchObject({ kind: 'lease', lines: [] });
    expect(await idsOf(journal)).toEqual(WRITTEN);
    expect((await readFile(journalPath(dataDir), 'utf8')).split('\n')).toHaveLength(3);
  });

  it('fails an opening of an epoch like an append', async () => {
    const { journal, calls, a } = await start();
    const { runId } = await journal.roster();
    calls.fail('write', 'ENOSPC');
    const request = { closedEpochId: 'ep_1', runId, epochS: 5, sealed: epoch('ep_2', runId) };
    const after = journal.append('ep_2', revocation('r1'));
    await expect(Promise.all([journal.openEpoch(request), after])).rejects.toMatchObject(UNCERTAIN);
    await a.renew();
    expect(await journal.roster()).toMatchObject({ epochId: 'ep_1' });
    expect(await journal.openEpoch(request)).toMatchObject({ kind: 'opened' });
  });

  it('leads to no repair when somebody exchanges the journal meanwhile', async () => {
    const started = await start();
    const { dataDir, journal, calls } = started;
    calls.fail('write', 'ENOSPC');
    await expect(journal.append('ep_1', revocation('r1'))).rejects.toMatchObject(UNCERTAIN);
    await copyFile(journalPath(dataDir), join(dataDir, 'copy'));
    await rename(join(dataDir, 'copy'), journalPath(dataDir));
    await expectBroken(started);
  });
});

describe('a failed fsync', () => {
  it('is never believed again in this process: the page cache may lie', async () => {
    const started = await start();
    const { journal, calls } = started;
    calls.fail('sync', 'EIO');
    const two = [journal.append('ep_1', revocation('r1')), journal.append('ep_1', revocation('r1'))];
    for (const one of two) await expect(one).rejects.toMatchObject(UNCERTAIN);
    await expectBroken(started);
    expect(await idsOf(journal)).toEqual(WRITTEN);
  });

  it('is followed, at the next start, by writing again what stands behind the mark', async () => {
    const { dataDir, journal, calls } = await start();
    calls.fail('sync', 'EIO');
    await expect(journal.append('ep_1', revocation('r1'))).rejects.toMatchObject(UNCERTAIN);
    await journal.close();
    const before = await readFile(journalPath(dataDir));
    const again = new FaultyCalls();
    const reopened = await openJournal(dataDir, { syscalls: again });
    // First the line that was never fsynced, byte for byte; then the mark.
    expect(again.writes).toBe(2);
    expect(again.written[0]).toEqual(before.subarray(before.lastIndexOf('\n', before.length - 2) + 1));
    expect(await idsOf(reopened.journal)).toEqual([...WRITTEN, 'r1']);
    expect(await readFile(journalPath(dataDir))).toEqual(before);
  });

  it('at the start is no start', async () => {
    const { dataDir, journal } = await start();
    await journal.close();
    for (const call of ['sync', 'write'] as const) {
      const calls = new FaultyCalls();
      calls.fail(call, 'EIO');
      await expect(makeJournal(dataDir, { syscalls: calls }).open()).rejects.toMatchObject(UNREACHABLE);
    }
    await rm(markPath(dataDir));
    const short = new FaultyCalls();
    short.next('write', async () => Promise.resolve(7));
    await expect(makeJournal(dataDir, { syscalls: short }).open()).rejects.toMatchObject(UNREACHABLE);
    await (await openJournal(dataDir)).journal.close();
  });

  it('of what waited behind it: it was certainly not written', async () => {
    const { journal, calls } = await start();
    const gate = Promise.withResolvers<number>();
    calls.next('sync', async () => {
      await gate.promise;
      throw errorOf('EIO');
    });
    const { syncs } = calls;
    const first = journal.append('ep_1', revocation('r1'));
    await until(() => calls.syncs > syncs);
    const second = journal.append('ep_1', revocation('r2'));
    gate.resolve(0);
    await expect(first).rejects.toMatchObject(UNCERTAIN);
    await expect(second).rejects.toMatchObject(BROKEN);
  });
});

describe('a mark that cannot be written', () => {
  it.each([
    ['fails', () => Promise.reject(errorOf('EIO'))],
    ['is written in part', () => Promise.resolve(3)],
  ])('because it %s breaks the journal: an answer could be lost in silence', async (_, instead: Instead) => {
    const started = await start();
    const { journal, calls, dataDir } = started;
    calls.next('write', passOn);
    calls.next('write', instead);
    await expect(journal.append('ep_1', revocation('r1'))).rejects.toMatchObject(UNCERTAIN);
    await expectBroken(started);
    await journal.close();
    expect(await idsOf((await openJournal(dataDir)).journal)).toEqual([...WRITTEN, 'r1']);
  });
});

describe('somebody else', () => {
  const deeds: readonly (readonly [string, (dataDir: string) => Promise<unknown>])[] = [
    ['puts another file in its place', replaceJournal],
    ['removes it', (dataDir) => rm(journalPath(dataDir))],
    ['cuts it', (dataDir) => truncate(journalPath(dataDir), 100)],
    ['empties it', (dataDir) => truncate(journalPath(dataDir), 0)],
    ['writes to it', (dataDir) => appendFile(journalPath(dataDir), 'x')],
    ['removes the lock', (dataDir) => rm(join(dataDir, 'lock'))],
    ['puts another lock in its place', replaceLock],
  ];

  it.each(deeds)('who %s ends every lease and every answer', async (_, deed) => {
    const started = await start();
    await deed(started.dataDir);
    await expectBroken(started);
  });

  it.each(deeds)('who %s is noticed by an append before it writes', async (_, deed) => {
    const { dataDir, journal, calls } = await start();
    await deed(dataDir);
    const { writes } = calls;
    await expect(journal.append('ep_1', revocation('r1'))).rejects.toMatchObject(BROKEN);
    expect(calls.writes).toBe(writes);
  });

  it.each(deeds)('who %s during the fsync is noticed before the answer', async (_, deed) => {
    const started = await start();
    started.calls.next('sync', async () => {
      await deed(started.dataDir);
      return 0;
    });
    await expect(started.journal.append('ep_1', revocation('r1'))).rejects.toMatchObject(UNCERTAIN);
    await expectBroken(started);
    expect(await idsOf(started.journal).catch(() => WRITTEN)).toEqual(WRITTEN);
  });

  it('who changes a line that stood is noticed when it is read', async () => {
    const started = await start();
    const { dataDir, journal } = started;
    const { position } = await journal.append('ep_1', revocation('r1'));
    await journal.append('ep_1', revocation('r2'));
    const bytes = await readFile(journalPath(dataDir));
    bytes[bytes.indexOf('"r1"') + 1] = 0x71;
    await writeFile(journalPath(dataDir), bytes);
    await expect(journal.roster(position)).rejects.toMatchObject(BROKEN);
    await expectBroken(started);
  });

  it('who cuts it while it is read is noticed', async () => {
    const { dataDir, journal } = await start();
    await truncate(journalPath(dataDir), 20);
    await expect(journal.read(ORIGIN, 10)).rejects.toMatchObject(BROKEN);
  });
});

describe('a disk that hangs', () => {
  it('does not hang the caller: the append is uncertain, and turns out to have been written', async () => {
    const { journal, calls, a } = await start(50);
    const gate = Promise.withResolvers<number>();
    calls.next('sync', () => gate.promise);
    await expect(journal.append('ep_1', revocation('r1'))).rejects.toMatchObject(UNCERTAIN);
    // Nobody sees it before it is durable; leases go on.
    expect(await a.renew()).toMatchObject({ kind: 'lease', lines: [] });
    const again = journal.append('ep_1', revocation('r1'));
    gate.resolve(0);
    expect(await again).toMatchObject({ duplicate: true, position: { sequence: 3 } });
    expect(await a.renew()).toMatchObject({ kind: 'lease', lines: { length: 1 } });
  });
});

describe('group commit', () => {
  it('shares one write and one fsync among what comes while another is under way', async () => {
    const { journal, calls } = await start();
    const gate = Promise.withResolvers<number>();
    calls.next('sync', () => gate.promise);
    const { syncs } = calls;
    const first = journal.append('ep_1', revocation('r0'));
    await until(() => calls.syncs > syncs);
    const rest = Array.from({ length: 64 }, (_, index) =>
      journal.append('ep_1', revocation(`r${index + 1}`)),
    );
    gate.resolve(0);
    const replies = await Promise.all([first, ...rest]);
    expect(replies.map(({ position }) => position.sequence)).toEqual(replies.map((_, index) => index + 3));
    expect(calls.syncs - syncs).toBe(2);
  });

  it('shows nothing before its fsync, and answers in the order of positions', async () => {
    const { journal, calls, a } = await start();
    const order: string[] = [];
    const { syncs } = calls;
    const gate = Promise.withResolvers<number>();
    calls.next('sync', () => gate.promise);
    const woken = journal
      .wake({ epoch: 100, sequence: 2 }, new AbortController().signal)
      .then(() => order.push('woken'));
    const appends = ['r1', 'r2', 'r3'].map((id) =>
      journal.append('ep_1', revocation(id)).then(({ position }) => order.push(`${position.sequence}`)),
    );
    await until(() => calls.syncs > syncs);
    expect(await a.renew()).toMatchObject({ kind: 'lease', lines: [], head: { sequence: 2 } });
    expect((await journal.roster({ epoch: 100, sequence: 3 })).line).toBeUndefined();
    expect(order).toEqual([]);
    gate.resolve(0);
    await Promise.all([woken, ...appends]);
    expect(order.filter((what) => what !== 'woken')).toEqual(['3', '4', '5']);
    expect(await a.renew()).toMatchObject({ kind: 'lease', lines: { length: 3 } });
  });

  it('splits what is too much for one write, in order', async () => {
    const { journal, calls } = await start();
    const { writes } = calls;
    const ids = Array.from({ length: 30 }, (_, index) => `bulk${index}`);
    await Promise.all(ids.map((id) => journal.append('ep_1', bulkRevocation(id, 1000))));
    // Each batch writes its lines and the mark.
    expect(calls.writes - writes).toBe(6);
    expect(await idsOf(journal)).toEqual([...WRITTEN, ...ids]);
  });

  it('finds every line again among thousands', async () => {
    const { journal, a } = await start();
    const ids = Array.from({ length: 2500 }, (_, index) => `r${index}`);
    const replies = await Promise.all(ids.map((id) => journal.append('ep_1', revocation(id))));
    expect(await idsOf(journal)).toEqual([...WRITTEN, ...ids]);
    for (const index of [0, 1021, 1022, 1023, 2499]) {
      const { line } = await journal.roster(replies[index]!.position);
      expect(line?.sealed.entry.id).toBe(ids[index]);
    }
    const kinds = [await a.renew(), await a.renew(), await a.renew()].map(({ kind }) => kind);
    expect(kinds).toEqual(['more', 'more', 'lease']);
    expect(a.lines).toHaveLength(2502);
  });

  it('takes no more than it can hold, and no entry that is larger than a line may be', async () => {
    const { journal, calls } = await start();
    const gate = Promise.withResolvers<number>();
    calls.next('sync', () => gate.promise);
    const sealed = revocation('r0');
    const large = (id: string, bytes: number) => ({
      entry: { ...sealed.entry, id },
      text: 'x'.repeat(bytes),
    });
    const waiting = Array.from({ length: 4 }, (_, index) =>
      journal.append('ep_1', large(`big${index}`, 15 * 1024 * 1024)).catch(() => undefined),
    );
    await expect(journal.append('ep_1', large('more', 15 * 1024 * 1024))).rejects.toMatchObject(UNREACHABLE);
    await expect(journal.append('ep_1', large('most', 16 * 1024 * 1024))).rejects.toMatchObject({
      code: 'INTERNAL',
    });
    gate.resolve(0);
    await Promise.all(waiting);
  });

  it('decides for everyone in one batch as if they had come one by one', async () => {
    const { journal } = await start();
    const { runId } = await journal.roster();
    const request = { closedEpochId: 'ep_1', runId, epochS: 5, sealed: epoch('ep_2', runId) };
    const outcomes = await Promise.allSettled([
      journal.append('ep_1', revocation('r1')),
      journal.openEpoch(request),
      journal.append('ep_1', revocation('r2')),
      journal.append('ep_2', revocation('r1')),
      journal.openEpoch(request),
      journal.append('ep_2', revocation('r1')),
    ]);
    expect(outcomes).toMatchObject([
      { value: { position: { epoch: 100, sequence: 3 } } },
      { value: { kind: 'opened', position: { epoch: 101, sequence: 1 } } },
      { reason: { code: 'EPOCH_CLOSED' } },
      { value: { position: { epoch: 101, sequence: 2 }, duplicate: false } },
      { value: { kind: 'lost' } },
      { value: { position: { epoch: 101, sequence: 2 }, duplicate: true } },
    ]);
  });
});

describe('closing', () => {
  it('writes and answers what was submitted, wakes who waits, and takes nothing more', async () => {
    const { journal, a, dataDir } = await start();
    const woken = journal.wake({ epoch: 100, sequence: 9 }, new AbortController().signal);
    const appended = journal.append('ep_1', revocation('r1'));
    const twice = journal.append('ep_1', replica('joined', 'inc_a'));
    await journal.close();
    expect(await appended).toMatchObject({ position: { sequence: 3 } });
    expect(await twice).toMatchObject({ duplicate: true });
    await woken;
    const refused: (() => Promise<unknown>)[] = [
      () => journal.append('ep_1', revocation('r2')),
      () => journal.roster(),
      () => journal.read(ORIGIN, 1),
      () => journal.wake(ORIGIN, new AbortController().signal),
      (): Promise<RenewReply> => a.renew(),
    ];
    for (const call of refused) await expect(call()).rejects.toMatchObject(UNREACHABLE);
    expect(await idsOf((await openJournal(dataDir)).journal)).toEqual([...WRITTEN, 'r1']);
  });
});

async function replaceJournal(dataDir: string): Promise<void> {
  await copyFile(journalPath(dataDir), join(dataDir, 'other'));
  await rename(join(dataDir, 'other'), journalPath(dataDir));
}

async function replaceLock(dataDir: string): Promise<void> {
  await writeFile(join(dataDir, 'other'), '');
  await rename(join(dataDir, 'other'), join(dataDir, 'lock'));
}

/** Resolves once `isSo`; what is waited for is a matter of a few turns of the loop. */
async function until(isSo: () => boolean): Promise<void> {
  while (!isSo()) await new Promise((resolve) => setImmediate(resolve));
}
