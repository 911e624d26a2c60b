/**
 * The decision log of a whole Writ: what a line says and never says, each sink, and that neither a sink that is ill nor
 * one that is gone changes a decision, but where a line is required, in which case there is no yes without one.
 */
import { randomUUID } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { parsePublicJwk } from '../../src/credential/jwk.ts';
import type { JsonObject } from '../../src/kernel/json.ts';
import { compile } from '../edges/opa/bundles.ts';
import { Collector } from '../support/collector.ts';
import { InProcessWrit, contextOf, evaluation, registration } from '../support/in-process.ts';
import { parsePrometheus, valueOf } from '../support/prometheus.ts';
import { makeKey, mintProof } from '../support/tokens.ts';

type Line = Record<string, unknown>;

let folder: string;
let file: string;
const open: InProcessWrit[] = [];
const collectors: Collector[] = [];

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'writ-decision-log-'));
});

afterEach(async () => {
  await Promise.all(open.splice(0).map((writ) => writ.remove()));
  await Promise.all(collectors.splice(0).map((one) => one.close()));
});

afterAll(() => rm(folder, { recursive: true, force: true }));

let count = 0;

async function start(...sets: string[]): Promise<InProcessWrit> {
  const writ = await InProcessWrit.open({ sets: sets.map((set) => `telemetry.decisionLog.${set}`) });
  open.push(writ);
  return writ;
}

function startWithFile(...sets: string[]): Promise<InProcessWrit> {
  file = join(folder, `decisions-${count++}.jsonl`);
  return start('sink=file', `file=${file}`, ...sets);
}

async function collector(mood: Collector['mood'] = 200): Promise<Collector> {
  const one = await Collector.open(mood);
  collectors.push(one);
  return one;
}

async function lines(): Promise<Line[]> {
  const text = await readFile(file, 'utf8');
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Line);
}

/** The line of one decision, once it is there. */
async function lineOf({ body }: { readonly body: Line }): Promise<Line> {
  const { id } = body['context'] as Line;
  let found: Line | undefined;
  await expect
    .poll(async () => (found = (await lines()).find((line) => line['decision_id'] === id)))
    .toBeDefined();
  return found ?? {};
}

describe('a line', () => {
  it("is an event of OPA's decision log, with who acted for whom, why, and at which position", async () => {
    const writ = await startWithFile();
    const token = await writ.mint({ claims: { act: { sub: 'agent-7' } } });
    const trace = '0af7651916cd43dd8448eb211c80319c';
    const headers = { traceparent: `00-${trace}-b7ad6b7169203331-01`, 'x-request-id': 'req-1' };
    const body = evaluation(token);
    const reply = await writ.data('/access/v1/evaluation', { body, headers });
    const { id, position, policy } = contextOf(reply);
    const line = await lineOf(reply);
    expect(line).toEqual({
      labels: {
        id: expect.stringMatching(/^inc_/) as string,
        version: '0.1.0',
        replica: 'gw-1',
        fleet: 'default',
      },
      decision_id: id,
      trace_id: trace,
      span_id: 'b7ad6b7169203331',
      request_id: 'req-1',
      bundles: { policy: { revision: policy } },
      path: 'writ/authz/decision',
      input: {
        subject: body['subject'],
        action: body['action'],
        resource: body['resource'],
        context: {},
        credential: expect.objectContaining({ kind: 'jwt', issuer: 'https://dev.writ.invalid' }) as unknown,
      },
      result: { allow: true, reason: 'permitted', policyReason: expect.any(String) as string },
      requested_by: '127.0.0.1',
      timestamp: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/) as string,
      metrics: { timer_server_handler_ns: expect.any(Number) as number },
      decision: 'allow',
      reason: 'permitted',
      source: 'evaluation',
      subject: 'billing',
      agent: 'agent-7',
      position,
    });
  });

  it('is there for every decision at every door, and tells which revocation it was', async () => {
    const writ = await startWithFile();
    const token = await writ.mint();
    const credential = { scheme: 'Bearer', token };
    const rego = { input: { ...evaluation(), credential, context: { credential, n: 1 } } };
    await writ.data('/access/v1/evaluations', { body: { ...evaluation(token), evaluations: [{}, {}] } });
    await writ.data('/v1/check', { body: evaluation() });
    await writ.data('/v1/data/writ/authz/decision', { body: rego });
    await writ.data('/v1/data/writ/authz/nothing', { body: rego });
    await writ.data('/v1/sessions', { body: registration(await writ.mint()) });
    const order = { selector: { kind: 'token', value: token } };
    const revocation = (await writ.control('/v1/revocations', { body: order })).body['id'];
    await lineOf(await writ.data('/v1/check', { body: evaluation(token) }));
    const all = await lines();
    expect(
      all.map(({ source, decision, reason }) => `${String(source)} ${String(decision)} ${String(reason)}`),
    ).toEqual([
      'evaluations allow permitted',
      'evaluations allow permitted',
      'check deny policy_denied',
      'data allow permitted',
      'data deny policy_undefined',
      'session allow permitted',
      'check deny revoked',
    ]);
    expect(all.at(-1)?.['revocation']).toBe(revocation);
    expect(all[3]).toMatchObject({
      path: 'writ/authz/decision',
      result: { allow: true },
      erased: ['/input/context/credential'],
    });
    for (const line of all.slice(3, 5))
      expect(line).toMatchObject({ subject: 'billing', input: { credential: { kind: 'jwt' } } });
    expect(all[4]).toMatchObject({ path: 'writ/authz/nothing' });
    expect(all[4]).not.toHaveProperty('result');
    expect(new Set(all.map((line) => line['decision_id'])).size).toBe(all.length);
    const text = JSON.stringify(all);
    for (const part of token.split('.')) expect(text).not.toContain(part);
  });

  it.each(['', 'required=true'])('is there for a session that a change ended (%s)', async (set) => {
    const writ = await startWithFile(...(set === '' ? [] : [set]));
    const entitled = { subject: { id: 'clerk' }, action: 'read', resource: { type: 'ledger' } };
    const { id } = (await writ.control('/v1/grants', { body: entitled })).body;
    const resource = { type: 'ledger', id: '7' };
    const opened = await writ.data('/v1/sessions', {
      body: { ...registration(await writ.mint({ sub: 'clerk', scope: '' })), resource },
    });
    expect(opened.status).toBe(201);
    await writ.control(`/v1/grants/${String(id)}`, { method: 'DELETE' });
    const ended = async (): Promise<Line | undefined> =>
      (await lines()).find(({ source }) => source === 'review');
    await expect.poll(ended).toBeDefined();
    const [listed] = (await writ.control('/v1/sessions')).body['sessions'] as Line[];
    expect(await ended()).toMatchObject({
      decision: 'deny',
      reason: 'policy_denied',
      cause: 'grant',
      session: listed?.['session'],
      subject: 'clerk',
      input: { resource, credential: { kind: 'jwt', claims: { sub: 'clerk' } } },
    });
    expect(await readFile(file, 'utf8')).not.toContain(String(opened.body['id']));
  });

  it('is masked as it is configured', async () => {
    const writ = await startWithFile('mask=[/input/context/ip, /requested_by]', 'subjects=pseudonym');
    const body = { ...evaluation(), context: { ip: '10.9.8.7', zone: 'eu' } };
    const line = await lineOf(await writ.data('/access/v1/evaluation', { body }));
    expect(line).toMatchObject({
      input: { context: { zone: 'eu' } },
      erased: ['/input/context/ip', '/requested_by'],
    });
    expect(JSON.stringify(line)).not.toMatch(/10\.9\.8\.7|127\.0\.0\.1|billing/);
  });

  it('that would be too long keeps who, what and why', async () => {
    const writ = await startWithFile();
    const body = { ...evaluation(), context: { text: 'x'.repeat(20_000) }, evaluations: [{}] };
    const answered = await writ.data('/access/v1/evaluations', { body });
    const [answer = {}] = answered.body['evaluations'] as Line[];
    const line = await lineOf({ body: answer });
    expect(line).toMatchObject({
      reason: 'policy_denied',
      subject: 'billing',
      erased: ['/input', '/result'],
      input: {
        subject: { id: 'billing' },
        action: { name: 'read' },
        resource: { type: 'invoice', id: '42' },
      },
      result: { allow: false, reason: 'policy_denied' },
    });
    expect(line['input']).not.toHaveProperty('context');
  });

  it('keeps what was asked for, whatever a caller pads it with: numbers are longer in it than in the body', async () => {
    const writ = await startWithFile();
    const { context, ...asked } = evaluation(await writ.mint());
    const numbers = `"n":[${'1e20,'.repeat(10_000)}1],`;
    const body = `{${JSON.stringify(asked).slice(1, -1)},"context":{${numbers}${JSON.stringify(context).slice(1)}}`;
    const line = await lineOf(
      await writ.data('/v1/check', { body, headers: { 'content-type': 'application/json' } }),
    );
    expect(line).toMatchObject({
      decision: 'allow',
      erased: ['/input', '/result'],
      input: { resource: { id: '42' } },
    });
    expect(JSON.stringify(line).length).toBeLessThan(2_000);
  });
});

describe('a collector', () => {
  it('gets the events, and those that wait when Writ closes', async () => {
    const sink = await collector();
    const writ = await start('sink=http', `url=${sink.url}`);
    for (let i = 0; i < 5; i++) await writ.data('/v1/check', { body: evaluation() });
    await writ.close();
    expect(sink.events.map(({ reason }) => reason)).toEqual(Array.from({ length: 5 }, () => 'policy_denied'));
    expect(sink.uploads.length).toBeLessThanOrEqual(2);
  });

  it.each<Collector['mood']>(['hang', 'reset', 'endless', 500])(
    'that is ill (%s) changes no decision, delays none, and does not keep Writ from closing',
    async (mood) => {
      const sink = await collector(mood);
      const writ = await start('sink=http', `url=${sink.url}`);
      const token = await writ.mint();
      for (let i = 0; i < 20; i++) {
        const { body } = await writ.data('/access/v1/evaluation', { body: evaluation(token) });
        expect(body['decision']).toBe(true);
      }
      await sink.asked(1);
      expect((await writ.data('/access/v1/evaluation', { body: evaluation(token) })).body['decision']).toBe(
        true,
      );
      await writ.close();
    },
  );

  it('that takes nothing costs lines, which are counted and said once', async () => {
    const sink = await collector('hang');
    const writ = await start('sink=http', `url=${sink.url}`);
    // Lines near the largest there is fill the queue in a hundred requests.
    const context = { text: 'x'.repeat(60_000) };
    const body = { ...evaluation(), context };
    for (let i = 0; i < 150; i++)
      expect((await writ.data('/access/v1/evaluation', { body })).body['decision']).toBe(false);
    const metrics = parsePrometheus((await writ.diagnostics('/metrics')).text);
    expect(valueOf(metrics, 'writ_decision_log_dropped_total')).toBeGreaterThan(5);
    expect(valueOf(metrics, 'writ_decision_log_pending_bytes')).toBeLessThanOrEqual(8 * 1024 * 1024);
    expect(writ.log.match(/lines of the decision log are being dropped/g)).toHaveLength(1);
    expect((await writ.control('/v1/status')).body).toMatchObject({
      verdict: 'ready, with loose ends',
      decisionLogLinesLost: valueOf(metrics, 'writ_decision_log_dropped_total'),
    });
  });
});

describe('a log that is required', () => {
  it('has the line of every answer on disk before the answer is there', async () => {
    const writ = await startWithFile('required=true');
    const token = await writ.mint();
    for (const path of ['/access/v1/evaluation', '/v1/check']) {
      const reply = await writ.data(path, { body: evaluation(token) });
      expect(reply.body['decision']).toBe(true);
      expect((await lines()).at(-1)?.['decision_id']).toBe(contextOf(reply)['id']);
    }
    const rego = { input: { ...evaluation(), credential: { scheme: 'Bearer', token } } };
    const data = await writ.data('/v1/data/writ/authz/decision', { body: rego });
    expect(data.body).toMatchObject({ result: { allow: true } });
    expect((await writ.data('/v1/sessions', { body: registration(token) })).status).toBe(201);
    expect((await lines()).map(({ source }) => source)).toEqual(['evaluation', 'check', 'data', 'session']);
  });

  it('takes the DPoP proof of a request once, at every door, and not a second time', async () => {
    const writ = await startWithFile('required=true');
    const key = makeKey('ES256', 'dpop');
    const jkt = parsePublicJwk(key.jwk as JsonObject)?.thumbprint;
    const token = await writ.mint({ claims: { cnf: { jkt } } });
    const prove = (): Line => {
      const claims = { iat: Math.floor(Date.now() / 1000), jti: randomUUID() };
      const proof = mintProof({ key, token, claims });
      return { scheme: 'DPoP', token, proof, method: 'GET', uri: 'https://api.example/orders' };
    };
    const asked = (credential: Line): Line => ({ ...evaluation(), context: { credential } });
    for (const path of ['/access/v1/evaluation', '/v1/check']) {
      const body = asked(prove());
      expect((await writ.data(path, { body })).body['decision']).toBe(true);
      expect(contextOf(await writ.data(path, { body }))['detail']).toBe('proof_replayed');
    }
    const input = { ...evaluation(), credential: prove() };
    const ask = () => writ.data('/v1/data/writ/authz/decision', { body: { input } });
    expect((await ask()).body).toMatchObject({ result: { allow: true } });
    expect((await ask()).body).toMatchObject({ result: { allow: false, reason: 'invalid_credential' } });
    const batch = { ...asked(prove()), evaluations: [{}] };
    const answered = await writ.data('/access/v1/evaluations', { body: batch });
    expect(answered.body['evaluations']).toMatchObject([{ decision: true }]);
  });

  it('answers where the policy says something else each time, with no without a line of its own', async () => {
    const rego = 'package writ.authz\ndecision := {"allow": true, "obligations": {"at": time.now_ns()}}';
    const bundle = join(folder, 'time.tar.gz');
    await writeFile(bundle, await compile({ rego, entrypoints: ['writ/authz/decision'] }));
    // The policy's clock has milliseconds: a line takes several, so that no two looks see the same one.
    const sink = await collector();
    sink.delayMs = 5;
    const writ = await InProcessWrit.open({
      sets: [
        `policy.bundle=${bundle}`,
        ...['sink=http', `url=${sink.url}`, 'required=true'].map((set) => `telemetry.decisionLog.${set}`),
      ],
    });
    open.push(writ);
    const reply = await writ.data('/access/v1/evaluation', { body: evaluation() });
    expect(contextOf(reply)).toMatchObject({ reason: 'policy_error', detail: 'decision_log' });
    expect(sink.events).toHaveLength(3);
  });

  it('lets no yes out without a line, at any door, and gives it again once lines are taken', async () => {
    const sink = await collector(500);
    const writ = await start('sink=http', `url=${sink.url}`, 'required=true', 'requiredWait=100ms');
    const token = await writ.mint();
    const refused = await writ.data('/access/v1/evaluation', { body: evaluation(token) });
    expect(refused.body['decision']).toBe(false);
    expect(contextOf(refused)).toMatchObject({ reason: 'policy_error', detail: 'decision_log' });
    expect((await writ.data('/v1/check', { body: evaluation(token) })).status).toBe(403);
    const rego = { input: { ...evaluation(), credential: { scheme: 'Bearer', token } } };
    const data = await writ.data('/v1/data/writ/authz/decision', { body: rego });
    expect(data.body).toEqual({ result: { allow: false, reason: 'policy_error' } });
    expect((await writ.data('/v1/data/writ/authz/other', { body: rego })).body).toEqual({});
    const session = await writ.data('/v1/sessions', { body: registration(token) });
    expect([session.status, session.body['id']]).toEqual([403, undefined]);
    expect((await writ.control('/v1/sessions')).body['sessions']).toEqual([]);
    // Nobody sends requests to a replica that says that it is ready and answers all of them with no.
    const notRecording = { name: 'decision_log', ok: false };
    const probe = await writ.diagnostics('/readyz');
    expect(probe.status).toBe(503);
    expect(probe.body['checks']).toContainEqual(expect.objectContaining(notRecording));
    expect((await writ.control('/v1/status')).body['verdict']).toBe('not ready');
    sink.mood = 200;
    let opened = session;
    const again = async (): Promise<number> => {
      opened = await writ.data('/v1/sessions', { body: registration(token) });
      return opened.status;
    };
    await expect.poll(again, { timeout: 15_000 }).toBe(201);
    expect((await writ.diagnostics('/readyz')).status).toBe(200);
    sink.mood = 500;
    const path = String(opened.body['events']).replace('/events', '');
    const fresher = { credential: { scheme: 'Bearer', token: await writ.mint({ ttlS: 7_200 }) } };
    expect((await writ.data(`${path}/credential`, { body: fresher })).status).toBe(403);
    const { body: ping } = await writ.data(`${path}/ping`, { method: 'POST' });
    expect(ping).toMatchObject({ freshForMs: 0, kill: { reason: 'policy_denied' } });
    const batch = { ...evaluation(token), evaluations: [{}] };
    const answered = await writ.data('/access/v1/evaluations', { body: batch });
    expect(answered.body['evaluations']).toMatchObject([{ decision: false }]);
    const metrics = parsePrometheus((await writ.diagnostics('/metrics')).text);
    const counted = { decision: 'deny', reason: 'policy_error', source: 'evaluation' };
    expect(valueOf(metrics, 'writ_decisions_total', counted)).toBe(1);
  });
});
