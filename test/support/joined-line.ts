/** A line that admits an incarnation, for tests of whoever believes signatures. */
import type { FeedLine } from '../../src/feed/entry.ts';
import { CHAIN_START, nextChain, sealEntry } from '../../src/feed/entry.ts';
import type { SigningKey } from '../../src/kernel/key.ts';

export function joinedLine(
  incarnation: string,
  key: SigningKey,
  event: 'joined' | 'left' | 'forgotten' = 'joined',
  replica = 'a',
): FeedLine {
  const facts = {
    v: 1,
    id: `ent_${incarnation}_${event}`,
    kind: 'replica',
    at: '2027-01-15T08:00:00.000Z',
    by: incarnation,
  } as const;
  const sealed = sealEntry({ ...facts, event, replica, incarnation, key: key.public.x }, key);
  return { position: { epoch: 5, sequence: 2 }, chain: nextChain(CHAIN_START, sealed.text), sealed };
}
