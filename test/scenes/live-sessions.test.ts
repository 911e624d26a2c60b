/** Live sessions of a real process, their holders on server-sent events: time, a fresher credential, a restart with another policy. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { compile } from '../edges/opa/bundles.ts';
import type { EventStream } from '../support/client.ts';
import { call, listen } from '../support/client.ts';
import { control, eventually, mint, openSession } from '../support/scene.ts';
import type { WritProcess } from '../support/writ-process.ts';
import { makeDataDir, removeDataDir, startWrit } from '../support/writ-process.ts';

const SCENE_MS = 40_000;

let dataDir = '';
let running: WritProcess[] = [];
let streams: EventStream[] = [];

beforeEach(async () => {
  dataDir = await makeDataDir();
});
afterEach(async () => {
  for (const stream of streams) stream.close();
  for (const writ of running) await writ.kill('SIGKILL');
  [running, streams] = [[], []];
  await removeDataDir(dataDir);
});

async function start(...set: string[]): Promise<WritProcess> {
  const writ = await startWrit({ dataDir, set });
  running.push(writ);
  return writ;
}

interface Held {
  readonly id: string;
  readonly path: string;
  readonly stream: EventStream;
}

async function hold(writ: WritProcess, token: string): Promise<Held> {
  const reply = await openSession(writ, token);
  expect(reply.status).toBe(201);
  const id = String(reply.body['id']);
  return { id, path: `/v1/sessions/${id}`, stream: await listenTo(writ, id) };
}

async function listenTo(writ: WritProcess, id: string): Promise<EventStream> {
  const stream = await listen(`${writ.urls.data}/v1/sessions/${id}/events`);
  streams.push(stream);
  return stream;
}

const ping = (writ: WritProcess, { path }: Held) => call(`${writ.urls.data}${path}/ping`, { method: 'POST' });

describe('a credential that ends', () => {
  it(
    'takes its session along by itself, at that second; a fresher one keeps it alive',
    async () => {
      const writ = await start('clockSkew=0s');
      const { token } = await mint(writ, { ttlS: 2 });
      const payload = Buffer.from(token.split('.')[1] ?? '', 'base64url').toString();
      const endsMs = (JSON.parse(payload) as { exp: number }).exp * 1_000;
      const [left, kept] = [await hold(writ, token), await hold(writ, token)];
      const fresher = await mint(writ, { ttlS: 600 });
      const taken = await call(`${writ.urls.data}${kept.path}/credential`, {
        body: { credential: { scheme: 'Bearer', token: fresher.token } },
      });
      expect(taken.status).toBe(200);
      const { data } = await left.stream.killed;
      expect(data).toMatchObject({ reason: 'expired' });
      // Not before its end, whatever the timer does; how soon after it is the machine's affair.
      expect(Date.now()).toBeGreaterThanOrEqual(endsMs);
      expect((await ping(writ, left)).body).toMatchObject({ freshForMs: 0, kill: { reason: 'expired' } });
      expect((await ping(writ, kept)).body['kill']).toBeUndefined();
      const shown = await eventually(
        () => control(writ, '/v1/sessions'),
        ({ text }) => text.includes('"unconfirmed":true'),
      );
      expect(shown.body['sessions']).toContainEqual(
        expect.objectContaining({
          kill: expect.objectContaining({ reason: 'expired', unconfirmed: true }) as unknown,
        }),
      );
    },
    SCENE_MS,
  );
});

describe('a grant', () => {
  const grant = (writ: WritProcess, more: object = {}) =>
    control(writ, '/v1/grants', {
      body: { subject: { id: 'guest' }, action: 'read', resource: { type: 'invoice', id: '42' }, ...more },
    });

  it(
    'lets a session open at once; taken away, or over, it takes along those that needed it and no other',
    async () => {
      const writ = await start();
      const guest = await mint(writ, { sub: 'guest', scope: 'none' });
      expect((await openSession(writ, guest.token)).status).toBe(403);
      const given = await grant(writ);
      expect(given.status).toBe(201);
      const own = await hold(writ, (await mint(writ)).token);
      const needing = await hold(writ, guest.token);
      const id = String(given.body['id']);
      expect((await control(writ, `/v1/grants/${id}`, { method: 'DELETE' })).status).toBe(200);
      expect((await needing.stream.killed).data).toMatchObject({ reason: 'policy_denied' });
      expect((await openSession(writ, guest.token)).status).toBe(403);
      const endsMs = Math.ceil(Date.now() / 1_000) * 1_000 + 2_000;
      expect((await grant(writ, { until: new Date(endsMs).toISOString() })).status).toBe(201);
      const ending = await hold(writ, guest.token);
      expect((await ending.stream.killed).data).toMatchObject({ reason: 'policy_denied' });
      expect(Date.now()).toBeGreaterThanOrEqual(endsMs);
      expect((await ping(writ, own)).body['kill']).toBeUndefined();
    },
    SCENE_MS,
  );
});

describe('a restart with another policy', () => {
  it(
    'kills the sessions of the run before that it denies, and leaves the others',
    async () => {
      const before = await start();
      const denied = await hold(before, (await mint(before)).token);
      const kept = await hold(before, (await mint(before, { clientId: 'trusted' })).token);
      await before.kill('SIGKILL');
      const rego =
        'package writ.authz\ndecision := {"allow": input.credential.claims.client_id == "trusted"}';
      const bundle = join(dataDir, 'other.tar.gz');
      await writeFile(bundle, await compile({ rego, entrypoints: ['writ/authz/decision'] }));
      const after = await start(`policy.bundle=${bundle}`);
      const stream = await listenTo(after, denied.id);
      expect((await stream.killed).data).toMatchObject({ reason: 'policy_denied' });
      const pinged = await ping(after, kept);
      expect(pinged.status).toBe(200);
      expect(pinged.body['kill']).toBeUndefined();
      expect(after.log.some((line) => line.includes('live sessions were evaluated again'))).toBe(true);
    },
    SCENE_MS,
  );
});
