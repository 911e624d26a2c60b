/** Replicas cosign what they have on disk, and whoever was shown another history than the others is named by them, and names them. */
import { describe, expect, it } from 'vitest';
import type { Acknowledgement } from '../../src/evidence/acknowledgement.ts';
import { cosignedIn } from '../../src/evidence/acknowledgement.ts';
import { signCosignature, verifyCosignature } from '../../src/evidence/cosignature.ts';
import { leafHash } from '../../src/evidence/merkle.ts';
import type { SealedEntry } from '../../src/feed/entry.ts';
import { comparePositions, parsePosition, renderPosition } from '../../src/feed/position.ts';
import { Cosigner } from '../../src/flows/cosign.ts';
import { settle } from '../support/fake-time.ts';
import { fork } from '../support/forking-store.ts';
import { enforce, jti, reasonOf, startPair } from '../support/memory-fleet.ts';
import type { TestReplica } from '../support/replica-harness.ts';
import { orderOf } from '../support/replica-harness.ts';
import { pass, startReplica } from '../support/replicas.ts';

/** What `who` has acknowledged last, as `by` sees it. */
const saidBy = (by: TestReplica, who: TestReplica): Acknowledgement | undefined =>
  by.table.row(who.identity.incarnation)?.acknowledgement;

const sizeOf = (by: TestReplica, who: TestReplica): number | undefined => {
  const said = saidBy(by, who);
  return said === undefined ? undefined : cosignedIn(said)?.size;
};

const SILENT = { error: () => undefined };

const append = async (by: TestReplica, value: string): Promise<void> => {
  await by.revoker.revoke(orderOf({ targets: [jti(value)], wait: 'durable' }));
};

/** A genuine entry that `of` has applied: the revocation of `value`. */
const entryOf = ({ ledger }: TestReplica, value: string): SealedEntry =>
  ledger.lines.find(({ sealed }) => sealed.text.includes(value) && sealed.entry.kind === 'revocation')!
    .sealed;

describe('a cosignature', () => {
  it('of each replica is of what it has on disk, and the others see it', async () => {
    const { clock, a, b } = await startPair();
    await enforce(a, 'j1');
    await pass(clock, 2_000);
    for (const [by, who] of [
      [a, b],
      [b, a],
      [a, a],
    ] as const) {
      const { origin, size, root } = by.tree.head;
      const note = saidBy(by, who)?.cosigned ?? '';
      const { replica, key } = who.identity;
      expect(verifyCosignature(note, replica, key.public)).toMatchObject({ origin, size });
      expect(cosignedIn(saidBy(by, who)!)?.root).toEqual(new Uint8Array(root));
    }
    expect(a.cosigner.cosignatures().map(({ name }) => name)).toEqual(['writ/test/a', 'writ/test/b']);
    expect([...a.cosigner.forks, ...b.cosigner.forks]).toEqual([]);
  });

  it('is made once a second at most, and only when the ledger has grown; a quiet fleet signs nothing', async () => {
    const { clock, a } = await startPair();
    await pass(clock, 2_000);
    const quiet = saidBy(a, a);
    await pass(clock, 10_000);
    expect(saidBy(a, a)).toBe(quiet);
    const sizes = new Set<number | undefined>();
    for (let i = 0; i < 40; i++) {
      await append(a, `j${i}`);
      clock.advance(100);
      await settle();
      sizes.add(sizeOf(a, a));
    }
    // Four seconds, and the one from before.
    expect(sizes.size).toBeGreaterThan(2);
    expect(sizes.size).toBeLessThanOrEqual(6);
    await pass(clock, 6_000);
    expect(sizeOf(a, a)).toBe(a.tree.size);
  });

  it('is of the epoch that is acknowledged: none is carried into the next one', async () => {
    const { clock, server, a, b } = await startPair();
    await enforce(a, 'j1');
    const before = a.tree.origin;
    server.restart();
    await pass(clock, 5_000);
    expect(a.tree.origin).not.toBe(before);
    for (const one of [a, b]) {
      expect(cosignedIn(saidBy(one, one)!)).toMatchObject({ origin: one.tree.origin, size: one.tree.size });
      expect(one.cosigner.cosignatures()).toHaveLength(2);
      expect(one.cosigner.forks).toEqual([]);
    }
  });

  it('is shown where it is of this epoch, the newest one of each replica', async () => {
    const { clock, a, b } = await startPair();
    await enforce(a, 'j1');
    await pass(clock, 2_000);
    const { tree, identity, cursor } = a;
    const { cosigned: _, ...silent } = saidBy(a, b)!;
    const cosigned = (over: object) => ({
      ...silent,
      cosigned: signCosignature({ ...tree.head, ...over }, b.identity, 1),
    });
    const [newest, older] = [
      cosigned({}),
      cosigned({ size: 1, root: tree.rootOf({ origin: tree.origin, size: 1 }) }),
    ];
    const said = [silent, older, newest, older, cosigned({ origin: 'writ/test/1' })];
    const table = { acknowledgements: () => said };
    const cosigner = new Cosigner({ identity, tree, clock, log: SILENT, table, cursor } as never);
    expect(cosigner.cosignatures()).toEqual([cosignedIn(newest)]);
  });

  it('can be compared from where a tree began at a snapshot; of an earlier size it knows no root', async () => {
    const replica = await startReplica();
    await pass(replica.clock, 2_000);
    const { origin, size } = replica.tree.head;
    replica.tree.begin(replica.tree.epoch, size, replica.tree.frontier(size));
    expect(replica.tree.rootOf({ origin, size: size - 1 })).toBeUndefined();
    expect(replica.tree.rootOf({ origin, size })).toEqual(replica.tree.head.root);
    expect(replica.tree.rootOf({ origin, size: size + 1 })).toBeUndefined();
    expect(replica.tree.rootOf({ origin: 'writ/test/1', size })).toBeUndefined();
  });
});

describe('a store that shows two replicas two histories', () => {
  it.each([
    ['the place of the entry that it was not shown', false],
    ['a later one', true],
  ])('is seen by both, and nothing is enforced by an acknowledgement of %s', async (_, isLater) => {
    const { clock, a, b } = await startPair();
    await enforce(a, 'j1');
    const instead = entryOf(a, 'j1');
    fork(b, instead, ({ sealed }) => sealed.text.includes('"j2"'));
    const pending = a.revoker.revoke(orderOf({ targets: [jti('j2')], waitMs: 5_000 }));
    if (isLater) await append(a, 'j3');
    await pass(clock, 6_000);
    const status = await pending;
    // The other one renews, acknowledges the very place, and still accepts.
    expect(await reasonOf(b, 'j2')).toBe('permitted');
    expect(renderPosition(b.cursor.position)).toBe(renderPosition(a.cursor.position));
    expect(status).toMatchObject({ state: 'durable', closure: 'PARTIAL', hasReceipt: false });
    expect(status.replicas).toContainEqual(expect.objectContaining({ replica: 'b', state: 'outstanding' }));
    for (const [by, of] of [
      [a, b],
      [b, a],
    ] as const) {
      const { replica, incarnation } = of.identity;
      const { forks } = by.cosigner;
      expect(forks).toEqual([expect.objectContaining({ replica, incarnation })]);
      const position = forks[0]?.position ?? '';
      expect(comparePositions(parsePosition(position), status.position)).toBeGreaterThanOrEqual(0);
      const said = by.log.filter(({ level, sentence }) => level === 'error' && sentence.includes('forked'));
      expect(said).toEqual([expect.objectContaining({ replica, position })]);
    }
    // Its cosignature is kept as evidence: it is genuine, and of another tree.
    const shown = a.cosigner.cosignatures().find(({ name }) => name === 'writ/test/b');
    expect(shown?.root).not.toEqual(new Uint8Array(a.tree.rootOf(shown!)!));
  });

  it('is seen by a cosignature too, where chains of that place are not known here', async () => {
    const { a, b } = await startPair();
    const { clock, tree, identity } = a;
    const position = renderPosition(b.cursor.position);
    const { origin, size } = tree.head;
    const cosigned = signCosignature({ origin, size, root: leafHash('x') }, b.identity, 1);
    let said = { ...saidBy(a, b)!, cosigned, position, chain: 'f'.repeat(40) };
    const table = { acknowledgements: () => [said], disown: () => undefined };
    const cursor = { epochId: said.epochId, chainAt: (): string | undefined => undefined };
    const cosigner = new Cosigner({ identity, tree, clock, log: SILENT, table, cursor } as never);
    cosigner.compare();
    cosigner.compare();
    const { incarnation } = b.identity;
    expect(cosigner.forks).toEqual([{ replica: 'b', incarnation, position: `${tree.epoch}-${size}` }]);
    // What was seen stays seen, and in another epoch it is looked for again.
    Object.assign(cursor, { epochId: 'ep_2', chainAt: () => '0'.repeat(40) });
    said = { ...said, epochId: 'ep_2' };
    cosigner.compare();
    expect(cosigner.forks).toHaveLength(2);
  });

  it('is looked for in one word a second, in turn, by who judges nothing, and in all at once by who does', async () => {
    const { a } = await startPair();
    const { tree, identity, cursor, clock } = a;
    const looked: string[] = [];
    const incarnations = ['inc_x', 'inc_y'];
    const row = (incarnation: string) => void looked.push(incarnation);
    const acknowledgements = () => (looked.push('all'), []);
    const table = { incarnations, row, acknowledgements };
    const cosigner = new Cosigner({ identity, tree, clock, log: SILENT, table, cursor } as never);
    for (let passedMs = 0; passedMs <= 2_000; passedMs += 100) {
      cosigner.watch(clock.now());
      clock.advance(100);
    }
    cosigner.compare();
    expect(looked).toEqual(['inc_x', 'inc_y', 'inc_x', 'all']);
  });

  it.each([
    ['another fleet: nobody waits for what it acknowledges', 'writ/other', 0, 'enforced'],
    ['another place of this epoch, as a store may show it to an honest replica', 'writ/test', 1, 'durable'],
  ])('is seen in a cosignature of %s', async (_, log, more, state) => {
    const { clock, a, b } = await startPair();
    const { incarnation } = b.identity;
    const pending = a.revoker.revoke(orderOf({ targets: [jti('j1')], waitMs: 8_000 }));
    const head = { ...b.tree.head, origin: `${log}/${b.tree.epoch + more}` };
    const said = { ...saidBy(a, b)!, cosigned: signCosignature(head, b.identity, 1) };
    a.table.acknowledgements = () => [said];
    await pass(clock, 9_000);
    expect((await pending).state).toBe(state);
    expect(a.cosigner.forks).toEqual([{ replica: 'b', incarnation, position: said.position }]);
  });

  it('is not seen in what is said of another epoch, or of a place that is not reached yet', async () => {
    const { a, b } = await startPair();
    const { clock, tree, identity, cursor } = a;
    const { origin, size } = tree.head;
    const cosigned = signCosignature({ origin, size: size + 1, root: leafHash('x') }, b.identity, 1);
    const { epoch, sequence } = cursor.position;
    const ahead = renderPosition({ epoch, sequence: sequence + 1 });
    let said = { ...saidBy(a, b)!, cosigned, position: ahead };
    const table = { acknowledgements: () => [said], disown: () => undefined };
    const cosigner = new Cosigner({ identity, tree, clock, log: SILENT, table, cursor } as never);
    cosigner.compare();
    expect(cosigner.forks).toEqual([]);
    said = { ...said, epochId: 'ep_other', position: renderPosition(cursor.position), chain: 'f'.repeat(40) };
    cosigner.compare();
    expect(cosigner.forks).toEqual([]);
    // Once it is reached it is compared, though it has not been said again.
    said = { ...said, epochId: cursor.epochId!, position: ahead };
    await append(a, 'j1');
    await settle();
    cosigner.compare();
    expect(cosigner.forks).toHaveLength(1);
  });
});
