/** What the journal does when the disk fails it. In-process, by order; disk.test.ts does it for real. */
import { appendFile, copyFile, mkdir, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { ContractReplica } from '../../contract/contract-replica.ts';
import { epoch, revocation } from '../../support/feed-entries.ts';
import { WRITTEN, idsOf, journalPath, makeJournal, markPath, openJournal } from './data-dir.ts';
import type { Instead, Started } from './faulty-calls.ts';
import {
  BROKEN,
  FaultyCalls,
  UNCERTAIN,
  UNREACHABLE,
  errorOf,
  passOn,
  start,
  until,
} from './faulty-calls.ts';

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
