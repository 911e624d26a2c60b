/** What a store lets go once a snapshot stands for it, and what it says to who comes too late. Part of the FeedStore contract. */
import { describe, expect, it } from 'vitest';
import { CHAIN_START } from '../../../src/feed/entry.ts';
import type { Snapshot } from '../../../src/feed/feed-store.ts';
import type { Position } from '../../../src/feed/position.ts';
import { ORIGIN } from '../../../src/feed/position.ts';
import { revocation } from '../../support/feed-entries.ts';
import { ContractReplica } from '../contract-replica.ts';
import type { StoreUnderTest } from '../store-under-test.ts';

const KEEP = 5;

function snapshotAt(position: Position, over: Partial<Snapshot> = {}): Snapshot {
  return { epochId: 'ep_1', position, digest: 'd1', entry: '{}', chunks: [Buffer.from([1])], ...over };
}

export function describeGrowth(under: StoreUnderTest): void {
  /** `count` revocations, the first of them `r<from>`. */
  async function append(count: number, from = 0): Promise<void> {
    for (let i = from; i < from + count; i++) await under.store.append('ep_1', revocation(`r${i}`));
  }

  /** Thirty lines, a snapshot of the twentieth, and as many again: what may go has gone. */
  async function grown(): Promise<{ a: ContractReplica; snapshot: Snapshot }> {
    const [a] = await under.begin('inc_a');
    await append(28);
    await a!.lease();
    const snapshot = snapshotAt({ epoch: a!.position.epoch, sequence: 20 });
    await under.store.writeSnapshot(snapshot);
    await under.store.trim(snapshot, KEEP);
    await append(28, 28);
    return { a: a!, snapshot };
  }

  /** The next cursor of `one`: that line of `of`. */
  function moveTo(one: ContractReplica, of: ContractReplica, sequence: number): void {
    const line = of.lines.find(({ position }) => position.sequence === sequence);
    one.position = line?.position ?? ORIGIN;
    one.chain = line?.chain ?? CHAIN_START;
  }

  describe('a store that has grown', () => {
    it('lets go what came before the snapshot and its window, and says so to who comes too late', async () => {
      const { a } = await grown();
      const { keepsSnapshots } = under.harness;
      const late = new ContractReplica(under.store, 'inc_a').copyOf(a);
      for (const sequence of [0, 1, 14]) {
        moveTo(late, a, sequence);
        const reply = await late.renew();
        if (keepsSnapshots) expect(reply).toEqual({ kind: 'stale', reason: 'trimmed' });
        else expect(reply.kind).toBe('lease');
      }
    });

    it('goes on serving who is within the window, and who begins at the snapshot', async () => {
      const { a } = await grown();
      const late = new ContractReplica(under.store, 'inc_a').copyOf(a);
      for (const sequence of [15, 19, 20, 30]) {
        moveTo(late, a, sequence);
        const reply = await late.renew();
        expect(reply.kind).toBe('lease');
        expect(late.lines.at(-1)?.position.sequence).toBe(58);
      }
    });

    it('knows entries that it holds, and takes one that went as another', async () => {
      await grown();
      const kept = await under.store.append('ep_1', revocation('r50'));
      expect(kept).toMatchObject({ duplicate: true });
      const gone = await under.store.append('ep_1', revocation('r1'));
      expect(gone.duplicate).toBe(!under.harness.keepsSnapshots);
    });

    it('lets nothing go for a snapshot that it does not hold, or that is not past the window', async () => {
      const [a] = await under.begin('inc_a');
      await append(28);
      await a!.lease();
      const { epoch } = a!.position;
      const snapshot = snapshotAt({ epoch, sequence: 20 });
      await under.store.trim(snapshot, KEEP);
      await under.store.writeSnapshot(snapshot);
      await under.store.trim({ ...snapshot, digest: 'd2' }, KEEP);
      await under.store.trim({ ...snapshot, position: { epoch, sequence: 21 } }, KEEP);
      await under.store.trim(snapshot, 20);
      await append(28, 28);
      const early = new ContractReplica(under.store, 'inc_a').copyOf(a!);
      moveTo(early, a!, 0);
      await early.lease();
      expect(early.lines).toHaveLength(58);
    });

    it('lets no more go for an older snapshot', async () => {
      const { a, snapshot } = await grown();
      await under.store.trim(snapshot, 2 * KEEP);
      const late = new ContractReplica(under.store, 'inc_a').copyOf(a);
      moveTo(late, a, 15);
      await late.lease();
    });

    it('lets earlier epochs go as a whole', async () => {
      const [a] = await under.begin('inc_a');
      await append(3);
      await a!.lease();
      const { chain, position } = a!;
      await under.store.openEpoch(await under.opening('ep_2', { closedEpochId: 'ep_1' }));
      for (let i = 0; i < 10; i++) await under.store.append('ep_2', revocation(`s${i}`));
      const { head } = await under.store.roster();
      const snapshot = snapshotAt({ ...head, sequence: 8 }, { epochId: 'ep_2' });
      await under.store.writeSnapshot(snapshot);
      await under.store.trim(snapshot, KEEP);
      await under.store.append('ep_2', revocation('s10'));
      const late = new ContractReplica(under.store, 'inc_a', 'ep_2');
      Object.assign(late, { position, chain });
      const reply = await late.renew();
      if (under.harness.keepsSnapshots) expect(reply).toEqual({ kind: 'stale', reason: 'trimmed' });
      else expect(reply.kind).toBe('lease');
      expect((await under.store.roster({ ...head, sequence: 3 })).line).toBeDefined();
      expect((await under.store.roster({ ...head, sequence: 2 })).line === undefined).toBe(
        under.harness.keepsSnapshots,
      );
    });

    it('keeps a snapshot of several megabytes, a larger one in its place, and then a small one', async () => {
      const megabyte = Buffer.alloc(1024 * 1024, 7);
      const large = snapshotAt(
        { epoch: 100, sequence: 2 },
        { chunks: Array.from({ length: 9 }, () => megabyte) },
      );
      const larger = snapshotAt(
        { epoch: 100, sequence: 3 },
        {
          digest: 'd2',
          chunks: Array.from({ length: 10 }, (_, i) => Buffer.concat([megabyte, Buffer.of(i)])),
        },
      );
      const small = snapshotAt({ epoch: 100, sequence: 4 }, { digest: 'd3' });
      for (const snapshot of [large, larger, small]) {
        await under.store.writeSnapshot(snapshot);
        const read = await under.store.readSnapshot();
        expect(read === undefined ? undefined : { ...read, chunks: read.chunks.map(String) }).toEqual(
          under.harness.keepsSnapshots ? { ...snapshot, chunks: snapshot.chunks.map(String) } : undefined,
        );
      }
    });
  });
}
