/** Group commit, and closing: what is shared, in which order it is answered, and what is too much. */
import { describe, expect, it } from 'vitest';
import type { RenewReply } from '../../../src/feed/feed-store.ts';
import { ORIGIN } from '../../../src/feed/position.ts';
import { bulkRevocation, epoch, replica, revocation } from '../../support/feed-entries.ts';
import { WRITTEN, idsOf, openJournal } from './data-dir.ts';
import { UNREACHABLE, start, until } from './faulty-calls.ts';

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
      expect(line?.text).toBe(revocation(ids[index]!).text);
    }
    // As many pages as it takes: a lease comes with the last one only.
    const kinds = ['more'];
    while (kinds.at(-1) === 'more') kinds.push((await a.renew()).kind);
    expect(kinds.length).toBeGreaterThan(3);
    expect(kinds.at(-1)).toBe('lease');
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
    await journal.append('ep_1', revocation('r0'));
    const outcomes = await Promise.allSettled([
      journal.append('ep_1', revocation('r1')),
      journal.openEpoch(request),
      journal.append('ep_1', revocation('r2')),
      journal.append('ep_2', revocation('r1')),
      journal.openEpoch(request),
      journal.append('ep_2', revocation('r1')),
      journal.append('ep_2', revocation('r0')),
    ]);
    expect(outcomes).toMatchObject([
      { value: { position: { epoch: 100, sequence: 4 } } },
      { value: { kind: 'opened', position: { epoch: 101, sequence: 1 } } },
      { reason: { code: 'EPOCH_CLOSED' } },
      { value: { position: { epoch: 101, sequence: 2 }, duplicate: false } },
      { value: { kind: 'lost' } },
      { value: { position: { epoch: 101, sequence: 2 }, duplicate: true } },
      { value: { position: { epoch: 101, sequence: 3 }, duplicate: false } },
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
