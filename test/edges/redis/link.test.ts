/** The thread that has the link: what it finds out about lines, and when it sends what was prepared. A real server, a real thread. */
import { Session } from 'node:inspector/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { Fingerprinter } from '../../../src/credential/handle.ts';
import type { LinkOptions } from '../../../src/edges/redis/link-messages.ts';
import { RedisLink } from '../../../src/edges/redis/link.ts';
import { RedisFeedStore } from '../../../src/edges/redis/redis-feed-store.ts';
import { leafHash } from '../../../src/evidence/merkle.ts';
import type { FeedLine, RevocationEntry, SealedEntry } from '../../../src/feed/entry.ts';
import { CHAIN_START, leafText, parseEntry } from '../../../src/feed/entry.ts';
import type { RenewReply } from '../../../src/feed/feed-store.ts';
import type { Position } from '../../../src/feed/position.ts';
import { ORIGIN } from '../../../src/feed/position.ts';
import type { LogFields } from '../../../src/kernel/log.ts';
import { runAtOnce } from '../../../src/kernel/pace.ts';
import { endingHandles, unpackEnding } from '../../../src/revocation/ending.ts';
import {
  LOG_KEY,
  REPLICA_KEY,
  bulkRevocation,
  epoch,
  lock,
  replica,
  revocation,
} from '../../support/feed-entries.ts';
import { NAME_KEY, RedisServer } from '../../support/redis-server.ts';
import { eventually } from '../../support/scene.ts';

const FINGERPRINT_KEY = new Uint8Array(32).fill(7);

let server: RedisServer;
let other: RedisFeedStore;
let link: RedisLink;
const logged: string[] = [];
const note = (sentence: string, { detail = '' }: LogFields = {}): void =>
  void logged.push(`${sentence} ${detail}`);
const log = { info: note, warn: note, error: note };

const options = () => ({
  server: { host: '', port: 0, path: server.socket },
  fleet: 'test',
  replica: 'r',
  nameKey: NAME_KEY,
});

const failures: string[] = [];
const openLink = (given: Partial<LinkOptions> = {}): RedisLink =>
  new RedisLink(
    { ...options(), fingerprintKey: FINGERPRINT_KEY, logKey: LOG_KEY.public.x, ...given },
    log,
    ({ code }) => failures.push(code),
  );

beforeAll(async () => {
  server = await RedisServer.start();
});
afterAll(() => server.remove());

beforeEach(async () => {
  await server.ask((redis) => redis.flushall());
  logged.length = 0;
  other = new RedisFeedStore(options());
  await other.open();
  const { nextRunId: runId } = await other.roster();
  await other.openEpoch({ closedEpochId: undefined, runId, epochS: 100, sealed: epoch('ep_1', runId) });
  await other.append('ep_1', replica('joined', 'inc_a'));
  link = openLink();
  await link.open();
});
afterEach(async () => {
  await Promise.all([link.close(), other.close()]);
});

const nonces: string[] = [];

/** As inc_a asks, which has applied everything up to `position`. */
function requestAfter(position: Position = ORIGIN, chain = CHAIN_START) {
  nonces.push(`nonce${nonces.length}`);
  const cursorEpochId = position === ORIGIN ? undefined : 'ep_1';
  const at = { position, chain, cursorEpochId };
  return { incarnation: 'inc_a', epochId: 'ep_1', ...at, nonces, acknowledgement: undefined, limit: 1_000 };
}

function linesOf(reply: RenewReply): readonly FeedLine[] {
  expect(reply.kind).toBe('lease');
  return 'lines' in reply ? reply.lines : [];
}

const append = (...entries: SealedEntry[]): Promise<unknown> =>
  entries.reduce<Promise<unknown>>(
    (before, sealed) => before.then(() => other.append('ep_1', sealed)),
    Promise.resolve(),
  );

describe('a line that was read', () => {
  it('is the line that the store holds, its many targets too, and says whose key has signed it', async () => {
    const forged = revocation('rev_forged');
    const entries = [revocation('rev_1'), bulkRevocation('rev_2', 100), lock('lck_1')];
    await append(...entries, { ...forged, text: forged.text.replace('"admin"', '"nobody"') });
    link.knows('inc_a', REPLICA_KEY.public.x);
    const [, , ...lines] = linesOf(await link.renew(requestAfter()));
    expect(lines.map(({ sealed }) => sealed.text).slice(0, 3)).toEqual(entries.map(({ text }) => text));
    for (const { sealed } of lines) expect(sealed.entry).toEqual(parseEntry(sealed.text).entry);
    const { x } = REPLICA_KEY.public;
    expect(lines.map(({ reading }) => reading?.signedBy)).toEqual([x, x, x, undefined]);
  });

  it('is signed by nobody that was not named, but for what the log key signs', async () => {
    await append(revocation('rev_1'));
    const lines = linesOf(await link.renew(requestAfter()));
    const log = LOG_KEY.public.x;
    expect(lines.map(({ reading }) => reading?.signedBy)).toEqual([log, log, undefined]);
  });

  it('says of many targets what they make dead, after which chain it comes, and its leaf', async () => {
    await append(revocation('rev_1'), bulkRevocation('rev_2', 100));
    const [, , first, second] = linesOf(await link.renew(requestAfter())) as [
      FeedLine,
      FeedLine,
      FeedLine,
      FeedLine,
    ];
    expect(first.reading?.bulk).toBeUndefined();
    const { targets } = second.sealed.entry as RevocationEntry;
    const { after, leaf, ending, targetsCount } = second.reading!.bulk!;
    expect([after, targetsCount]).toEqual([first.chain, 100]);
    expect(leaf).toEqual(new Uint8Array(leafHash(leafText(second))));
    expect(unpackEnding(ending)).toEqual(
      runAtOnce(endingHandles(targets, new Fingerprinter(FINGERPRINT_KEY))),
    );
  });
});

describe('a renewal that is prepared', () => {
  const renewalsOf = async (): Promise<number | undefined> => (await other.roster()).rows[0]?.renewals;

  async function readAll(): Promise<{ readonly position: Position; readonly chain: string }> {
    return linesOf(await link.renew(requestAfter())).at(-1) as FeedLine;
  }

  it('is sent with the next news, and says when it was sent', async () => {
    const { position, chain } = await readAll();
    const before = await renewalsOf();
    const [ownMs, wallMs] = [performance.now(), Date.now()];
    const prepared = link.prepare(requestAfter(position, chain));
    await append(revocation('rev_1'));
    await eventually(renewalsOf, (renewals) => renewals !== before, 5_000);
    const takenMs = performance.now();
    const { reply, sent } = (await prepared.take())!;
    expect(linesOf(reply).map(({ sealed }) => sealed.entry.id)).toEqual(['rev_1']);
    expect(sent.monoMs).toBeGreaterThanOrEqual(ownMs - 1);
    expect(sent.monoMs).toBeLessThan(takenMs);
    expect(sent.wallMs).toBeGreaterThanOrEqual(wallMs);
  });

  it('is sent at once where the feed has grown meanwhile', async () => {
    const { position, chain } = await readAll();
    await link.append('ep_1', revocation('rev_1'));
    const before = await renewalsOf();
    const prepared = link.prepare(requestAfter(position, chain));
    await eventually(renewalsOf, (renewals) => renewals !== before, 5_000);
    expect(linesOf((await prepared.take())!.reply)).toHaveLength(1);
  });

  it('is sent at once where the news came before it, while nobody waited for them', async () => {
    const { position, chain } = await readAll();
    await other.append('ep_1', revocation('rev_1'));
    await sleep(100);
    const before = await renewalsOf();
    const prepared = link.prepare(requestAfter(position, chain));
    await eventually(renewalsOf, (renewals) => renewals !== before, 5_000);
    expect(linesOf((await prepared.take())!.reply)).toHaveLength(1);
  });

  it('is never sent once it was taken', async () => {
    const { position, chain } = await readAll();
    const before = await renewalsOf();
    expect(await link.prepare(requestAfter(position, chain)).take()).toBeUndefined();
    const woken = link.wake(position, AbortSignal.timeout(5_000));
    await append(revocation('rev_1'));
    await woken;
    expect(await renewalsOf()).toBe(before);
  });
});

describe('news that come while nobody waits for them', () => {
  it.each(['on a thread of its own', 'in this one'])('wake who waits for them next (%s)', async (where) => {
    const store = where === 'in this one' ? other : link;
    const { position } = linesOf(await store.renew(requestAfter())).at(-1) as FeedLine;
    const third = new RedisFeedStore(options());
    await third.open();
    await third.append('ep_1', revocation('rev_1'));
    await third.close();
    await sleep(100);
    const over = new AbortController();
    const woken = store.wake(position, over.signal).then(() => 'woken');
    expect(await Promise.race([woken, sleep(1_000).then(() => 'asleep')])).toBe('woken');
    // Not again, once a renewal was sent that brings them.
    const { position: next } = linesOf(await store.renew(requestAfter())).at(-1) as FeedLine;
    const again = store.wake(next, over.signal).then(() => 'woken');
    expect(await Promise.race([again, sleep(200).then(() => 'asleep')])).toBe('asleep');
    over.abort();
  });
});

describe('a thread that hangs', () => {
  /** Every thread of this process but this one, of which there are the links'. */
  async function hang(ms: number): Promise<void> {
    const session = new Session();
    session.connect();
    const expression = `for (const over = Date.now() + ${ms}; Date.now() < over;);`;
    const message = JSON.stringify({ id: 1, method: 'Runtime.evaluate', params: { expression } });
    session.on('NodeWorker.attachedToWorker', ({ params: { sessionId } }) => {
      void session.post('NodeWorker.sendMessageToWorker', { sessionId, message });
    });
    await session.post('NodeWorker.enable', { waitForDebuggerOnStart: false });
    await sleep(100);
    session.disconnect();
  }

  const failing = async (work: Promise<unknown>): Promise<unknown> => {
    const beganMs = performance.now();
    const code = await work.catch((error: unknown) => (error as { code: string }).code);
    return [code, performance.now() - beganMs < 2_500 ? 'in time' : 'late'];
  };

  it('lets every call fail as its deadline would have it, and is used again once it answers', async () => {
    const hanging = openLink({ callMs: 500, leaseMs: 1_000 });
    await hanging.open();
    const prepared = hanging.prepare(requestAfter());
    await hang(5_000);
    const calls = [hanging.renew(requestAfter()), prepared.take(), hanging.roster()];
    const settled = await Promise.all([...calls, hanging.append('ep_1', revocation('rev_1'))].map(failing));
    expect(settled.slice(0, 3)).toEqual(Array(3).fill(['STORE_UNREACHABLE', 'in time']));
    expect(settled[3]).toEqual(['APPEND_UNCERTAIN', 'in time']);
    expect(await eventually(() => hanging.roster().catch(() => undefined), Boolean)).toBeDefined();
    await hang(5_000);
    const beganMs = performance.now();
    await hanging.close();
    // Whoever closes has said goodbye before, in vain, and has five seconds for both.
    expect(performance.now() - beganMs).toBeLessThan(1_400);
  });
});

describe('a thread that has failed', () => {
  it('breaks the store, for whatever is under way and for all that comes', async () => {
    const broken = { code: 'STORE_BROKEN' };
    // No key has no bytes: it ends as it begins.
    const failing = openLink({ fingerprintKey: undefined as never });
    const opening = failing.open();
    const prepared = failing.prepare(requestAfter());
    const woken = failing.wake(ORIGIN, new AbortController().signal);
    await expect(opening).rejects.toMatchObject(broken);
    await expect(prepared.take()).rejects.toMatchObject(broken);
    await woken;
    await expect(failing.roster()).rejects.toMatchObject(broken);
    expect(
      logged.some((line) => line.startsWith('the thread that has the link to the store has failed')),
    ).toBe(true);
    await failing.close();
    expect(failures).toEqual(['STORE_BROKEN']);
  });

  it('is told of to nobody where it was closed', async () => {
    failures.length = 0;
    await link.close();
    await link.close();
    expect(failures).toEqual([]);
    await expect(link.roster()).rejects.toMatchObject({ code: 'STORE_BROKEN' });
  });
});
