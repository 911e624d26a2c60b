import { describe, expect, it } from 'vitest';
import type { EpochEntry, FeedLine } from '../../src/feed/entry.ts';
import { Tree } from '../../src/flows/tree.ts';
import { epoch, revocation } from '../support/feed-entries.ts';
import { FakeClock } from '../support/fake-time.ts';
import { TestReplica } from '../support/replica-harness.ts';

const { identity } = new TestReplica({ clock: new FakeClock() });
const opening = epoch('ep_1', 'run_1');
const lines: readonly FeedLine[] = [opening, revocation('r1'), revocation('r2')].map((sealed, i) => ({
  ...{ sealed, chain: '' },
  position: { epoch: 100, sequence: i + 1 },
}));

describe('a tree that begins again', () => {
  const whole = new Tree(identity);
  for (const line of lines) whole.append(line, line === lines[0]);
  whole.settle();

  it.each([
    ['from all lines of an epoch', 0, undefined],
    ['from those after a base in it', 1, 100],
    ['from all of them where the base is in an earlier one', 0, 99],
  ])('is the same %s', (_, from, epochOfBase) => {
    const tree = new Tree(identity);
    const base = epochOfBase === undefined ? undefined : baseIn(epochOfBase);
    tree.beginAgain(lines.slice(from), base);
    expect([tree.size, tree.checkpoint()]).toEqual([3, whole.checkpoint()]);
    expect(tree.lastLeafHex).toBe(whole.lastLeafHex);
  });

  it('proves what it has all of, and says of what came before its base that it cannot', () => {
    const tree = new Tree(identity);
    tree.beginAgain(lines.slice(1), baseIn(100));
    const at = (sequence: number) => tree.proof({ epoch: 100, sequence });
    expect(() => at(1)).toThrow('before the snapshot');
    expect(() => at(4)).toThrow('no such leaf');
    expect(whole.proof({ epoch: 100, sequence: 1 })).toMatchObject({ index: 0 });
    expect(at(3)).toEqual(whole.proof({ epoch: 100, sequence: 3 }));
  });

  function baseIn(inEpoch: number) {
    const position = { epoch: inEpoch, sequence: 1 };
    const entry = opening.entry as EpochEntry;
    return { opening: entry, amnesia: undefined, position, chain: '', frontier: whole.frontier(1) };
  }
});
