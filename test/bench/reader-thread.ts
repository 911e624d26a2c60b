/**
 * Loaded into a replica with `--import`: a thread of its own that does what a worker with the store link and the index would
 * have to do at least: it hears the news, reads the entry, parses it, verifies its signature, and has its handles in a table
 * in shared memory. It checks no chain, keeps nothing on disk, tells no session and takes no lease. How soon it is there is
 * the best that such a worker could do.
 */
import { Worker, isMainThread } from 'node:worker_threads';
import { Redis } from 'ioredis';
import { Fingerprinter, handlesOfTarget } from '../../src/credential/handle.ts';
import { hostMs } from '../../src/edges/redis/host-clock.ts';
import { isSignedBy, parseEntry } from '../../src/feed/entry.ts';
import { parsePublicKey } from '../../src/kernel/key.ts';
import { NEVER_S, FingerprintTable } from '../../src/revocation/table.ts';
import type { Stamp } from './ways.ts';

const EVERY_MS = 100;
const FEED = '{writ:test}:*:feed:*';

if (isMainThread) new Worker(new URL(import.meta.url), { execArgv: [] }).unref();
else await read(process.env['READER_SOCKET'] ?? '');

async function read(path: string): Promise<void> {
  const options = { path, disableClientInfo: true } as const;
  const [news, asking] = [new Redis(options), new Redis(options)];
  const keys = new Map<string, string>();
  const table = new FingerprintTable('plain', (ref, other) => ref < other);
  const fingerprinter = new Fingerprinter(new Uint8Array(32));
  let stamps: Stamp[] = [];
  let after = '-';

  const take = (text: string, ref: number): void => {
    const sealed = parseEntry(text);
    const { entry } = sealed;
    if (entry.kind === 'replica') keys.set(entry.incarnation, entry.key);
    if (entry.kind !== 'revocation') return;
    const key = parsePublicKey(keys.get(entry.by) ?? '');
    if (key === undefined || !isSignedBy(sealed, key)) throw new Error('an entry that nobody has signed');
    for (const target of entry.targets) {
      const { prints } = fingerprinter.print(handlesOfTarget(target));
      for (let at = 0; at < prints.length; at += 2)
        table.merge(prints[at]!, prints[at + 1]!, { untilS: NEVER_S, ref, cutoffS: NEVER_S });
    }
    stamps.push({ step: 'read', id: entry.id, ms: hostMs() });
  };

  const readOn = async (): Promise<void> => {
    const [feed = ''] = await asking.keys(FEED);
    for (const [at, [, , , text = '']] of await asking.xrange(feed, after, '+')) {
      take(text, table.size);
      after = `(${at}`;
    }
  };

  setInterval(() => {
    if (stamps.length > 0) console.log(JSON.stringify({ message: 'ways', stamps }));
    stamps = [];
  }, EVERY_MS);
  let reading = Promise.resolve();
  news.on('message', () => {
    reading = reading.then(readOn);
  });
  await news.subscribe('{writ:test}:news');
  await readOn();
}
