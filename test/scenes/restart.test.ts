import { appendFile, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { parseKeyring } from '../../src/evidence/keyring.ts';
import { verifyLedger } from '../../src/evidence/ledger-export.ts';
import { verifyReceipt } from '../../src/evidence/receipt.ts';
import { CRASH_POINTS } from '../../src/feed/crash-point.ts';
import { call, listen } from '../support/client.ts';
import { runCli } from '../support/run-cli.ts';
import type { Minted } from '../support/scene.ts';
import {
  contextOf,
  control,
  evaluate,
  eventually,
  jtiOrder,
  mint,
  openSession,
  reasonOf,
  revoke,
} from '../support/scene.ts';
import type { WritProcess } from '../support/writ-process.ts';
import { makeDataDir, removeDataDir, startWrit } from '../support/writ-process.ts';

const CRASHING_MAIN = fileURLToPath(new URL('../support/crashing-main.ts', import.meta.url));
const SCENE_MS = 40_000;

let dataDir = '';
let running: WritProcess[] = [];

beforeEach(async () => {
  dataDir = await makeDataDir();
});
afterEach(async () => {
  for (const writ of running) await writ.kill('SIGKILL');
  running = [];
  await removeDataDir(dataDir);
});

async function start(crash?: { point: string; nth: number }): Promise<WritProcess> {
  const doomed = crash && {
    main: CRASHING_MAIN,
    env: { CRASH_POINT: crash.point, CRASH_NTH: String(crash.nth) },
  };
  const writ = await startWrit({ dataDir, ...doomed });
  running.push(writ);
  return writ;
}

/** One revocation as its caller knows it: what was asked, and the answer if there was one. */
interface Asked {
  readonly minted: Minted;
  readonly key: string;
  readonly order: Record<string, unknown>;
  id: string | undefined;
}

async function prepare(writ: WritProcess, count: number): Promise<Asked[]> {
  const minted = await Promise.all(Array.from({ length: count }, () => mint(writ)));
  return minted.map((one, i) => ({
    minted: one,
    key: `key-${i}`,
    order: jtiOrder(one, { reason: 'restart scene', ticket: `T-${i}` }),
    id: undefined,
  }));
}

/** Revokes one after the other until the process is gone. Three of these at once make group commits. */
async function revokeUntilDead(writ: WritProcess, asked: readonly Asked[]): Promise<void> {
  try {
    for (const one of asked) {
      const reply = await revoke(writ, one.order, one.key);
      expect([201, 202]).toContain(reply.status);
      one.id = String(reply.body['id']);
    }
  } catch {
    return;
  }
}

async function ledgerOf(writ: WritProcess): Promise<{ lines: string[]; keys: string }> {
  const { body } = await control(writ, '/v1/keys');
  const { text } = await control(writ, '/v1/ledger');
  return { lines: text.trimEnd().split('\n'), keys: String(body['log']) };
}

async function* each(lines: readonly string[]): AsyncGenerator<string> {
  yield* lines;
}

function settled(writ: WritProcess, id: string) {
  return eventually(
    () => control(writ, `/v1/revocations/${id}`),
    ({ body }) => body['state'] === 'enforced',
  );
}

describe('SIGKILL between two steps of a revocation', () => {
  const first = ['append.before-fsync', 'answer.before'].map((point) => ({ point, nth: 1 }));
  const cases = [...first, ...CRASH_POINTS.map((point) => ({ point, nth: 6 }))];

  it.each(cases)(
    'at $point, time $nth: no answered revocation is lost, and a repeated one is one entry',
    async (crash) => {
      const doomed = await start(crash);
      const asked = await prepare(doomed, 12);
      const lanes = [0, 1, 2].map((lane) => asked.filter((_, i) => i % 3 === lane));
      await Promise.all(lanes.map((lane) => revokeUntilDead(doomed, lane)));
      expect(await doomed.exited).toBe(null);
      expect(asked.some(({ id }) => id === undefined)).toBe(true);
      // The later ones die with a history: some of it was answered and has to be there.
      if (crash.nth > 1) expect(asked.some(({ id }) => id !== undefined)).toBe(true);

      const writ = await start();
      for (const { minted, id } of asked.filter((one) => one.id !== undefined)) {
        const reply = await evaluate(writ, minted.token);
        expect(reply.body['decision']).toBe(false);
        expect(contextOf(reply)).toMatchObject({ reason: 'revoked', revocation: id });
        expect((await settled(writ, id ?? '')).body['state']).toBe('enforced');
      }
      for (const { minted, key, order, id } of asked) {
        const repeated = await revoke(writ, order, key);
        expect(repeated.status).toBe(201);
        if (id !== undefined) expect(repeated.body['id']).toBe(id);
        expect(reasonOf(await evaluate(writ, minted.token))).toBe('revoked');
      }

      const listed = (await control(writ, '/v1/revocations?limit=1000')).body['revocations'];
      const tickets = (listed as { ticket: string }[]).map(({ ticket }) => ticket).sort();
      expect(tickets).toEqual(asked.map((_, i) => `T-${i}`).sort());
      const { lines, keys } = await ledgerOf(writ);
      await expect(verifyLedger(each(lines), parseKeyring(keys))).resolves.toBeDefined();
      await writ.kill('SIGTERM');
    },
    SCENE_MS,
  );

  it(
    'an entry whose outcome was never written is enforced by whoever asks, and proven',
    async () => {
      // The first append is the revocation's, the second its outcome's.
      const doomed = await start({ point: 'append.before-write', nth: 2 });
      const [one] = await prepare(doomed, 1);
      if (one === undefined) throw new Error('no token');
      await revokeUntilDead(doomed, [one]);
      await doomed.exited;
      expect(one.id).toBeUndefined();

      const writ = await start();
      expect(reasonOf(await evaluate(writ, one.minted.token))).toBe('revoked');
      const listed = (await control(writ, '/v1/revocations')).body['revocations'] as { id: string }[];
      expect(listed).toHaveLength(1);
      const id = listed[0]?.id ?? '';
      const status = await settled(writ, id);
      expect(status.body).toMatchObject({ id, state: 'enforced', closure: 'CLOSED' });
      const receipt = await control(writ, `/v1/receipts/${id}`);
      const facts = verifyReceipt(receipt.text, parseKeyring((await ledgerOf(writ)).keys));
      expect(facts).toMatchObject({ id, state: 'enforced' });
    },
    SCENE_MS,
  );
});

describe('a session opened before the SIGKILL', () => {
  it(
    'is killed by a revocation after the restart, told on its stream, and counted',
    async () => {
      const first = await start();
      const minted = await mint(first);
      const session = await openSession(first, minted.token);
      expect(session.status).toBe(201);
      const events = String(session.body['events']);
      const before = await listen(`${first.urls.data}${events}`);
      await first.kill('SIGKILL');
      await before.ended;

      const writ = await start();
      const stream = await listen(`${writ.urls.data}${events}`);
      const closed = stream.killed.then(async ({ data }) => {
        await call(`${writ.urls.data}${events.replace('/events', '/closed')}`, { method: 'POST' });
        return data;
      });
      const revoked = await revoke(writ, jtiOrder(minted));
      expect(revoked.status).toBe(201);
      expect(revoked.body['sessions']).toEqual({ matched: 1, killed: 1, unconfirmed: 0 });
      expect(await closed).toMatchObject({ reason: 'revoked', revocation: revoked.body['id'] });
    },
    SCENE_MS,
  );

  it(
    'whose holder never came back is named and never counted as dead',
    async () => {
      const first = await start();
      const minted = await mint(first);
      expect((await openSession(first, minted.token)).status).toBe(201);
      await first.kill('SIGKILL');

      const writ = await start();
      const revoked = await revoke(writ, jtiOrder(minted));
      expect(revoked.status).toBe(202);
      expect(revoked.body).toMatchObject({ state: 'partial', closure: 'PARTIAL' });
      expect(revoked.body['sessions']).toMatchObject({ matched: 1, killed: 0, unconfirmed: 1 });
    },
    SCENE_MS,
  );
});

describe('a journal that was hurt while nobody ran', () => {
  it(
    'begins with its torn tail cut, and says so',
    async () => {
      const first = await start();
      const [one] = await prepare(first, 1);
      if (one === undefined) throw new Error('no token');
      await revokeUntilDead(first, [one]);
      expect(one.id).toBeDefined();
      await first.kill('SIGKILL');
      const journal = join(dataDir, 'journal.jsonl');
      const whole = await readFile(journal);
      const lastLine = whole.subarray(whole.lastIndexOf('\n', whole.length - 2) + 1);
      await appendFile(journal, lastLine.subarray(0, lastLine.length >> 1));

      const writ = await start();
      const said = writ.log.find((line) => line.includes('a torn tail of the journal was cut'));
      expect(JSON.parse(said ?? '{}')).toMatchObject({ level: 'warn', count: lastLine.length >> 1 });
      expect((await readFile(journal)).subarray(0, whole.length).equals(whole)).toBe(true);
      expect(reasonOf(await evaluate(writ, one.minted.token))).toBe('revoked');
      const { lines, keys } = await ledgerOf(writ);
      await expect(verifyLedger(each(lines), parseKeyring(keys))).resolves.toBeDefined();
    },
    SCENE_MS,
  );

  it(
    'does not start with a flipped byte in the middle, says where, and changes nothing',
    async () => {
      const first = await start();
      const asked = await prepare(first, 4);
      await revokeUntilDead(first, asked);
      await first.kill('SIGKILL');
      const journal = join(dataDir, 'journal.jsonl');
      const bytes = await readFile(journal);
      const records = bytes.toString('latin1').trimEnd().split('\n');
      const middle = records.length >> 1;
      const at = records.slice(0, middle).join('\n').length + 1 + ((records[middle]?.length ?? 0) >> 1);
      bytes[at] = (bytes[at] ?? 0) ^ 1;
      await writeFile(journal, bytes);

      const intact = JSON.parse(records[middle - 1] ?? '{}') as { position: string };
      const { code, problems } = await runCli(['serve', '--dev', '--set', `dataDir=${dataDir}`]);
      expect(code).toBe(1);
      expect(problems).toContain('JOURNAL_CORRUPT');
      expect(problems).toContain(`after position ${intact.position}, at byte `);
      expect((await readFile(journal)).equals(bytes)).toBe(true);
    },
    SCENE_MS,
  );
});
