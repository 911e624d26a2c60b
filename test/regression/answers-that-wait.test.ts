/**
 * Found by attack: an answer that waits for its turn (behind another one of its connection, for keys, for its line in the
 * log) was decided before the wait and sent after it, when what it said was no longer so.
 */
import { setTimeout as wait } from 'node:timers/promises';
import { connect } from 'node:net';
import type { Socket } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { LIMITS } from '../../src/kernel/limits.ts';
import { InProcessWrit, evaluation, registration } from '../support/in-process.ts';
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

async function openSlow(body: () => string) {
  const slow = await openSlowServer(body);
  closers.push(slow.close);
  return slow;
}

function requestTo(path: string, body: unknown): string {
  const text = JSON.stringify(body);
  const head = `POST ${path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n`;
  return `${head}content-length: ${Buffer.byteLength(text)}\r\n\r\n${text}`;
}

/** One connection, and all that came over it. */
function dial(writ: InProcessWrit): { readonly socket: Socket; readonly got: () => string } {
  const { hostname, port } = new URL(writ.writ.urls.data);
  const socket = connect(Number(port), hostname);
  socket.on('error', () => undefined);
  closers.push(() => socket.destroy());
  let got = '';
  socket.on('data', (chunk) => (got += chunk.toString()));
  return { socket, got: () => got };
}

async function revoke(writ: InProcessWrit, selector: Record<string, unknown>): Promise<void> {
  const { body } = await writ.control('/v1/revocations', { body: { selector, wait: 'enforced' } });
  expect(body['state']).toBe('enforced');
}

describe('a request behind another answer of its connection', () => {
  it('is decided when its own can go out: not allowed once its revocation is enforced', async () => {
    const keys = await openSlow(() => SLOW_KEYS);
    const writ = await start({ fileText: slowIssuer(keys.url) });
    const token = await writ.mint();
    const asked = evaluation(token);
    expect((await writ.data('/v1/check', { body: asked })).status).toBe(200);
    const { socket, got } = dial(writ);
    const paths = [
      '/v1/check',
      '/access/v1/evaluation',
      '/access/v1/evaluations',
      '/v1/data/writ/authz/allow',
    ];
    const first = requestTo('/v1/check', evaluation(slowToken()));
    const input = { ...asked, credential: { scheme: 'Bearer', token } };
    socket.write(first + paths.map((path) => requestTo(path, { ...asked, input })).join(''));
    await keys.asked;
    // Whatever came with the first one was taken in by now.
    expect((await writ.data('/v1/check', { body: asked })).status).toBe(200);
    await revoke(writ, { kind: 'token', value: token });
    expect(got()).toBe('');
    keys.answer();
    await expect.poll(() => got().split('HTTP/1.1').length - 1).toBe(5);
    const answers = got().split('HTTP/1.1').slice(2);
    for (const answer of answers) expect(answer).toContain('revoked');
    expect(answers.join('')).not.toMatch(/"(decision|result)":true/);
  });

  it('waits behind an event stream as long as that goes on', async () => {
    const writ = await start();
    const [token, other] = [await writ.mint(), await writ.mint({ sub: 'other' })];
    const { body } = await writ.data('/v1/sessions', { body: registration(other) });
    const { socket, got } = dial(writ);
    const events = `GET /v1/sessions/${String(body['id'])}/events HTTP/1.1\r\nhost: x\r\n\r\n`;
    socket.write(events + requestTo('/v1/check', evaluation(token)));
    await expect.poll(got).toContain('open');
    await revoke(writ, { kind: 'token', value: token });
    await writ.control('/v1/revocations', { body: { selector: { kind: 'token', value: other } } });
    await expect.poll(got).toContain('HTTP/1.1 401');
    expect(got().split('HTTP/1.1 200')).toHaveLength(2);
  });

  it('is cut off with its connection where too many wait', async () => {
    const writ = await start();
    const { body } = await writ.data('/v1/sessions', { body: registration(await writ.mint()) });
    const { socket } = dial(writ);
    socket.write(`GET /v1/sessions/${String(body['id'])}/events HTTP/1.1\r\nhost: x\r\n\r\n`);
    socket.write('GET /openapi.json HTTP/1.1\r\nhost: x\r\n\r\n'.repeat(LIMITS.pipelinedMax + 1));
    await expect.poll(() => socket.closed).toBe(true);
  });
});

describe('a token that expires while its keys are waited for', () => {
  it('is refused at every door', async () => {
    const keys = await openSlow(() => SLOW_KEYS);
    const writ = await start({ fileText: slowIssuer(keys.url), sets: ['clockSkew=0s'] });
    const token = slowToken(1);
    const pending = Promise.all([
      writ.data('/v1/check', { body: evaluation(token) }),
      writ.data('/access/v1/evaluations', { body: { ...evaluation(token), evaluations: [{}] } }),
      writ.data('/v1/sessions', { body: registration(token) }),
    ]);
    await keys.asked;
    await wait(1_100);
    keys.answer();
    for (const { body } of await pending) expect(JSON.stringify(body)).toContain('"expired"');
  });
});

describe('a session whose line is waited for', () => {
  async function open(meanwhile: (writ: InProcessWrit) => Promise<void>) {
    const sink = await openSlow(() => '');
    const log = ['sink=http', `url=${sink.url}`, 'required=true', 'requiredWait=5s'];
    const writ = await start({ sets: log.map((set) => `telemetry.decisionLog.${set}`) });
    const pending = writ.data('/v1/sessions', { body: registration(await writ.mint()) });
    await sink.asked;
    await meanwhile(writ);
    sink.answer();
    const { status, body } = await pending;
    expect((await writ.control('/v1/sessions')).body).toMatchObject({ sessions: [] });
    return { status, body };
  }
  const selector = { kind: 'subject', value: 'billing' };

  it('is not opened where it was killed meanwhile', async () => {
    const opened = await open(async (writ) => {
      await writ.control('/v1/revocations', { body: { selector } });
    });
    expect(opened).toMatchObject({ status: 403, body: { context: { reason: 'cutoff' } } });
  });

  it('is not opened where it was killed by what has ended since', async () => {
    const opened = await open(async (writ) => {
      const { body } = await writ.control('/v1/locks', {
        body: { selector, expiresAt: new Date(Date.now() + 60_000).toISOString() },
      });
      await writ.control(`/v1/locks/${String(body['id'])}`, { method: 'DELETE' });
    });
    expect(opened).toMatchObject({ status: 403, body: { context: { reason: 'locked' } } });
  });
});
