/** What a thief has appended and is no entry: a store that parses what it holds cannot read it out. */
import type { FeedLine, SealedEntry } from '../../src/feed/entry.ts';
import { WritError } from '../../src/kernel/error.ts';
import type { TestReplica } from './replica-harness.ts';

/** Like an entry only to the memory store, which needs an id. */
export const UNREADABLE = { text: '{}', entry: { id: 'a-name', kind: 'mark' } } as SealedEntry;

/** From now on `replica` is answered as by a store that finds each line's text to be an entry, or says that it is none. */
export function parseLines({ store }: TestReplica): void {
  const [renew, restore] = [store.renew.bind(store), store.restore.bind(store)];
  store.renew = async (request) => {
    const reply = await renew(request);
    if ('lines' in reply) assertEntries(reply.lines);
    return reply;
  };
  store.restore = async (request) => {
    const reply = await restore(request);
    if (reply.kind === 'restored') assertEntries(reply.newer);
    return reply;
  };
}

function assertEntries(lines: readonly FeedLine[]): void {
  if (lines.some(({ sealed }) => sealed.text === UNREADABLE.text))
    throw new WritError('PROOF_INVALID', 'entry is of no known shape');
}
