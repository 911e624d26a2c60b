/**
 * A process that does nothing but append to a journal and say, line by line, what was answered: what tests kill, trace
 * and let run into full disks. What it has printed it was told by the journal; nothing is printed before that.
 *
 * argv[2] is JSON: AppenderOrder. Prints `opened <runId>`, `answered <id> <position>`, `failed <id> <code>`,
 * `renewed <kind or code>` after each failure, `done`, or `refused <code> <message>` when the journal does not open.
 */
import { randomBytes } from 'node:crypto';
import { writeSync } from 'node:fs';
import { JournalFeedStore } from '../../../src/edges/journal/journal-feed-store.ts';
import { CHAIN_START } from '../../../src/feed/entry.ts';
import type { CrashPointName } from '../../../src/feed/crash-point.ts';
import { ORIGIN, renderPosition } from '../../../src/feed/position.ts';
import { isWritError } from '../../../src/kernel/error.ts';
import { epoch, replica, revocation } from '../../support/feed-entries.ts';

export interface AppenderOrder {
  readonly dataDir: string;
  /** Ids are `<prefix>0`, `<prefix>1`, … */
  readonly prefix: string;
  readonly count: number;
  /** How many are under way at once. */
  readonly width: number;
  /** Dies by SIGKILL when this point is passed for the `at`-th time. */
  readonly crash?: { readonly point: CrashPointName; readonly at: number };
  /** Goes on holding the journal when all is done. */
  readonly stays?: boolean;
}

const order = JSON.parse(process.argv[2] ?? '') as AppenderOrder;
const { dataDir, prefix, count, width, crash, stays = false } = order;

function say(...words: string[]): void {
  writeSync(1, `${words.join(' ')}\n`);
}

function codeOf(error: unknown): string {
  return isWritError(error) ? error.code : String(error);
}

let passed = 0;
const journal = new JournalFeedStore({
  dataDir,
  random: { bytes: (size) => new Uint8Array(randomBytes(size)) },
  crashPoint: (name) => {
    if (name !== crash?.point) return;
    passed += 1;
    if (passed === crash.at) process.kill(process.pid, 'SIGKILL');
  },
});

const nonces: string[] = [];

async function renew(): Promise<string> {
  nonces.push(`n${nonces.length}`);
  const place = { position: ORIGIN, chain: CHAIN_START, cursorEpochId: undefined };
  const rest = { acknowledgement: undefined, limit: 1_000_000 };
  const request = { incarnation: 'inc_a', epochId: 'ep_1', nonces: nonces.slice(-2), ...place, ...rest };
  return journal.renew(request).then(({ kind }) => kind, codeOf);
}

async function appendAll(): Promise<void> {
  let next = 0;
  const one = async (): Promise<void> => {
    while (next < count) {
      const id = `${prefix}${next++}`;
      try {
        const { position } = await journal.append('ep_1', revocation(id));
        say('answered', id, renderPosition(position));
      } catch (error) {
        say('failed', id, codeOf(error));
        say('renewed', await renew());
      }
    }
  };
  await Promise.all(Array.from({ length: width }, one));
}

async function begin(runId: string): Promise<void> {
  if ((await journal.roster()).epochId !== undefined) return;
  await journal.openEpoch({ closedEpochId: undefined, runId, epochS: 100, sealed: epoch('ep_1', runId) });
  await journal.append('ep_1', replica('joined', 'inc_a'));
}

try {
  const { runId } = await journal.open();
  say('opened', runId);
  await begin(runId);
  await appendAll();
  say('done');
  if (stays) setInterval(() => undefined, 60_000);
  else await journal.close();
} catch (error) {
  say('refused', codeOf(error), error instanceof Error ? error.message : '');
}
