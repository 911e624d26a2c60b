/**
 * Found by attack: one batch held the loop for eleven seconds with the lines of its decisions, answered after its
 * credential had ended, copied its default context a thousand times, and shared its turn with others of its kind.
 */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { Turn } from '../../src/http/turn.ts';
import { LIMITS } from '../../src/kernel/limits.ts';
import { InProcessWrit, contextOf, evaluation, registration } from '../support/in-process.ts';
import { SLOW_KEYS, openSlowServer, slowIssuer, slowToken } from '../support/slow-server.ts';

const closers: (() => unknown)[] = [];

afterEach(async () => {
  for (const close of closers.splice(0).toReversed()) await close();
});

async function start(options: Parameters<typeof InProcessWrit.open>[0] = {}): Promise<InProcessWrit> {
  const writ = await InProcessWrit.open(options);
  closers.push(() => writ.remove());
  return writ;
}

async function startWithLog(...sets: string[]): Promise<{ writ: InProcessWrit; file: string }> {
  const dir = await mkdtemp(join(tmpdir(), 'writ-heavy-'));
  closers.push(() => rm(dir, { recursive: true }));
  const file = join(dir, 'log');
  const log = ['sink=file', `file=${file}`, ...sets].map((set) => `telemetry.decisionLog.${set}`);
  return { writ: await start({ sets: log }), file };
}

/** The longest time in which nothing else ran, in milliseconds, while `work` did. */
async function longestHold(work: () => Promise<unknown>): Promise<number> {
  let longestMs = 0;
  let beforeMs = performance.now();
  const look = setInterval(() => {
    longestMs = Math.max(longestMs, performance.now() - beforeMs);
    beforeMs = performance.now();
  }, 1);
  await work();
  clearInterval(look);
  return longestMs;
}

const items = (count: number): object[] => Array.from({ length: count }, () => ({}));

describe('a batch', () => {
  it('has no item larger than what may be asked alone, defaults included', async () => {
    const writ = await start();
    const context = { bulk: '€'.repeat(LIMITS.dataBodyBytesMax / 3) };
    const body = { ...evaluation(await writ.mint()), context };
    const small = { context: {} };
    const reply = await writ.data('/access/v1/evaluations', { body: { ...body, evaluations: [{}, small] } });
    const said = `an evaluation is larger than ${LIMITS.dataBodyBytesMax} bytes`;
    expect(reply.body['evaluations']).toMatchObject([
      { decision: false, context: { error: { status: 400, message: said } } },
      { decision: false, context: { reason: 'policy_denied' } },
    ]);
    expect((await writ.data('/access/v1/evaluations', { body })).status).toBe(400);
  });

  it.each(['', 'required=true'])(
    'of a thousand whose lines are as dear as can be holds nobody up (%s)',
    async (set) => {
      const { writ, file } = await startWithLog(...(set === '' ? [] : [set, 'requiredWait=5s']));
      // A token in it: all of it is searched.
      const context = { t: 'eyJa.b.c', bulk: Array.from({ length: 12_000 }, () => 'a') };
      const body = { ...evaluation(), context, evaluations: items(200) };
      const heldMs = await longestHold(async () => {
        const { body: answer } = await writ.data('/access/v1/evaluations', { body });
        expect(answer['evaluations']).toHaveLength(200);
        await expect
          .poll(async () => (await readFile(file, 'utf8')).split('\n').length, { timeout: 15_000 })
          .toBe(201);
      });
      expect(heldMs).toBeLessThan(250);
      expect(await readFile(file, 'utf8')).not.toContain('eyJa');
    },
    30_000,
  );

  it('loses no line of it where the sink is well, however many come at once', async () => {
    const { writ } = await startWithLog();
    const evaluations = Array.from({ length: 1_000 }, (_, i) => ({
      resource: { type: 'invoice', id: `${i}` },
    }));
    const body = { ...evaluation(await writ.mint()), evaluations };
    await Promise.all([1, 2, 3].map(() => writ.data('/access/v1/evaluations', { body })));
    expect((await writ.control('/v1/status')).body['decisionLogLinesLost']).toBe(0);
  }, 30_000);

  it('does not copy its default context for each of its items', async () => {
    const writ = await start();
    const context = Object.fromEntries(Array.from({ length: 6_000 }, (_, i) => [`m${i}`, 1]));
    const body = { ...evaluation(), context, evaluations: items(1_000) };
    const before = process.memoryUsage().heapUsed;
    let most = 0;
    const look = setInterval(() => (most = Math.max(most, process.memoryUsage().heapUsed)), 5);
    await writ.data('/access/v1/evaluations', { body });
    clearInterval(look);
    // A thousand copies are five hundred.
    expect((most - before) / 2 ** 20).toBeLessThan(200);
  });
});

describe('long answers of one turn', () => {
  const busy = (ms: number): void => {
    for (const untilMs = performance.now() + ms; performance.now() < untilMs;);
  };

  it('come after those that were decided before them', async () => {
    const turn = new Turn<string>();
    const steps: string[] = [];
    const add = (name: string, isLong: boolean): void =>
      turn.add({
        isLong,
        decide: () => {
          steps.push(`decide ${name}`);
          return name;
        },
        answer: (given) => void steps.push(`answer ${given}`),
      });
    add('a', false);
    add('long', true);
    add('b', false);
    await new Promise((resolve) => setImmediate(resolve));
    expect(steps).toEqual(['decide a', 'answer a', 'decide long', 'answer long', 'decide b', 'answer b']);
  });

  it('leave the loop to a renewal in between', async () => {
    const turn = new Turn<number>();
    const steps: string[] = [];
    for (let i = 0; i < 4; i++)
      turn.add({
        isLong: true,
        decide: () => {
          busy(15);
          return i;
        },
        answer: (given) => void steps.push(`answer ${given}`),
      });
    setTimeout(() => steps.push('renewal'), 1);
    await expect.poll(() => steps.length).toBe(5);
    expect(steps.indexOf('renewal')).toBeLessThan(4);
    expect(steps.filter((step) => step !== 'renewal')).toEqual([0, 1, 2, 3].map((i) => `answer ${i}`));
  });
});

describe('bodies that wait behind an event stream', () => {
  it('are as many as the connection may hold, by their size', async () => {
    const writ = await start();
    const { body } = await writ.data('/v1/sessions', { body: registration(await writ.mint()) });
    const { hostname, port } = new URL(writ.writ.urls.data);
    const socket = connect(Number(port), hostname);
    closers.push(() => socket.destroy());
    socket.on('error', () => undefined);
    const text = JSON.stringify({
      ...evaluation(),
      evaluations: [{ context: { bulk: 'x'.repeat(900_000) } }],
    });
    const head = 'POST /access/v1/evaluations HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n';
    socket.write(`GET /v1/sessions/${String(body['id'])}/events HTTP/1.1\r\nhost: x\r\n\r\n`);
    for (let i = 0; i < 8; i++) socket.write(`${head}content-length: ${text.length}\r\n\r\n${text}`);
    await expect.poll(() => socket.closed, { timeout: 5_000 }).toBe(true);
  });
});

describe('a session whose holder hung up before it was told of it', () => {
  it('is none: a revocation of its credential waits for nobody', async () => {
    const keys = await openSlowServer(() => SLOW_KEYS);
    closers.push(keys.close);
    const writ = await start({ fileText: slowIssuer(keys.url) });
    const token = slowToken();
    const text = JSON.stringify(registration(token));
    const { hostname, port } = new URL(writ.writ.urls.data);
    const socket = connect(Number(port), hostname);
    const head = 'POST /v1/sessions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n';
    // What came with a request that is answered was taken in with it.
    const before = 'GET /.well-known/authzen-configuration HTTP/1.1\r\nhost: x\r\n\r\n';
    socket.write(`${before}${head}content-length: ${text.length}\r\n\r\n${text}`);
    await new Promise((resolve) => socket.once('data', resolve));
    const isClosed = new Promise((resolve) => socket.once('close', resolve));
    socket.destroy();
    await isClosed;
    await writ.data('/v1/check', { body: evaluation() });
    keys.answer();
    const check = async () => contextOf(await writ.data('/v1/check', { body: evaluation(token) }))['reason'];
    await expect.poll(check, { timeout: 5_000 }).toBe('permitted');
    const selector = { kind: 'token', value: token };
    const { body } = await writ.control('/v1/revocations', { body: { selector } });
    expect(body).toMatchObject({ state: 'enforced', sessions: { matched: 0 } });
  });
});
