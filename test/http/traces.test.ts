/**
 * Traces of a whole Writ at a real OTLP/HTTP collector: from the caller through Writ to whom Writ asks; what spans say
 * and never say; and that a collector that is ill changes and delays nothing.
 */
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { IncomingHttpHeaders, Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { Collector } from '../support/collector.ts';
import { InProcessWrit, contextOf, evaluation, registration } from '../support/in-process.ts';
import { parsePrometheus, valueOf } from '../support/prometheus.ts';

interface OtlpSpan {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly traceState?: string;
  readonly name: string;
  readonly kind: number;
  readonly attributes: readonly { key: string; value: Record<string, unknown> }[];
  readonly events: readonly { name: string; attributes: OtlpSpan['attributes'] }[];
  readonly status: { readonly code?: number };
}

interface OtlpBody {
  readonly resourceSpans: readonly {
    readonly resource: { readonly attributes: OtlpSpan['attributes'] };
    readonly scopeSpans: readonly { readonly spans: readonly OtlpSpan[] }[];
  }[];
}

const SERVER = 2;
const CLIENT = 3;
const TRACE = '0af7651916cd43dd8448eb211c80319c';
const PARENT = 'b7ad6b7169203331';

const open: InProcessWrit[] = [];
const collectors: Collector[] = [];
const servers: Server[] = [];

afterEach(async () => {
  await Promise.all(open.splice(0).map((writ) => writ.remove()));
  await Promise.all(collectors.splice(0).map((one) => one.close()));
  for (const server of servers.splice(0)) server.close();
});

async function start(mood: Collector['mood'] = 200, fileText = ''): Promise<[InProcessWrit, Collector]> {
  const collector = await Collector.open(mood);
  collectors.push(collector);
  const writ = await InProcessWrit.open({ fileText, sets: [`telemetry.traces.url=${collector.url}`] });
  open.push(writ);
  return [writ, collector];
}

function bodiesOf({ uploads }: Collector): OtlpBody[] {
  return uploads.map(({ body }) => JSON.parse(body.toString('utf8')) as OtlpBody);
}

function spansOf(collector: Collector): OtlpSpan[] {
  return bodiesOf(collector).flatMap(({ resourceSpans }) =>
    resourceSpans.flatMap(({ scopeSpans }) => scopeSpans.flatMap(({ spans }) => spans)),
  );
}

function attributesOf({ attributes }: Pick<OtlpSpan, 'attributes'>): Record<string, unknown> {
  return Object.fromEntries(attributes.map(({ key, value }) => [key, Object.values(value)[0]]));
}

/** All spans, once Writ is closed: nothing is left to come. */
async function spansAfterClose(writ: InProcessWrit, collector: Collector): Promise<OtlpSpan[]> {
  await writ.close();
  return spansOf(collector);
}

describe('a trace', () => {
  it("goes on from the caller's, with the decision on its span", async () => {
    const [writ, collector] = await start();
    const token = await writ.mint();
    const headers = { traceparent: `00-${TRACE}-${PARENT}-01`, tracestate: 'vendor=1,other=2' };
    const reply = await writ.data('/access/v1/evaluation', { body: evaluation(token), headers });
    const spans = await spansAfterClose(writ, collector);
    const span = spans.find(({ traceId }) => traceId === TRACE);
    expect(span).toMatchObject({
      parentSpanId: PARENT,
      traceState: 'vendor=1,other=2',
      name: 'POST /access/v1/evaluation',
      kind: SERVER,
    });
    const { id, policy, position } = contextOf(reply);
    expect(attributesOf(span!)).toEqual({
      'http.request.method': 'POST',
      'http.route': '/access/v1/evaluation',
      'http.response.status_code': 200,
      'writ.decision': 'allow',
      'writ.reason': 'permitted',
      'writ.source': 'evaluation',
      'writ.decision.id': id,
      'writ.policy.digest': policy,
      'writ.position': position,
    });
    const [body] = bodiesOf(collector);
    expect(attributesOf(body!.resourceSpans[0]!.resource)).toMatchObject({
      'service.name': 'writ',
      'service.namespace': 'default',
      'service.version': '0.1.0',
      'writ.replica': 'gw-1',
    });
  });

  it('begins here without a traceparent, or with one that does not parse, and then its tracestate means nothing', async () => {
    const [writ, collector] = await start();
    for (const traceparent of [undefined, `00-${TRACE}-${PARENT}-01-more`, `ff-${TRACE}-${PARENT}-01`])
      await writ.data('/v1/check', {
        body: evaluation(),
        headers: { tracestate: 'vendor=1', ...(traceparent === undefined ? {} : { traceparent }) },
      });
    const spans = (await spansAfterClose(writ, collector)).filter(({ name }) => name === 'POST /v1/check');
    expect(spans).toHaveLength(3);
    for (const span of spans) {
      expect(span.traceId).not.toBe(TRACE);
      expect(span.parentSpanId ?? '').toBe('');
      expect(span.traceState ?? '').toBe('');
    }
  });

  it('that the caller does not sample is not, and one that begins here is by its share', async () => {
    const [writ, collector] = await start(200, 'telemetry: { traces: { sampling: 0 } }');
    const ask = (flags: string) =>
      writ.data('/v1/check', {
        body: evaluation(),
        headers: { traceparent: `00-${TRACE}-${PARENT}-${flags}` },
      });
    await ask('00');
    await writ.data('/v1/check', { body: evaluation() });
    await ask('01');
    const spans = (await spansAfterClose(writ, collector)).filter(({ name }) => name === 'POST /v1/check');
    expect(spans.map(({ traceId }) => traceId)).toEqual([TRACE]);
  });

  it('has an event for each decision of a batch', async () => {
    const [writ, collector] = await start();
    await writ.data('/access/v1/evaluations', { body: { ...evaluation(), evaluations: [{}, {}] } });
    const spans = await spansAfterClose(writ, collector);
    const span = spans.find(({ name }) => name === 'POST /access/v1/evaluations');
    expect(span?.events.map(({ name }) => name)).toEqual(['authz.decision', 'authz.decision']);
    expect(attributesOf(span!.events[0]!)).toMatchObject({ 'writ.reason': 'policy_denied' });
    expect(attributesOf(span!)).not.toHaveProperty('writ.reason');
  });

  it('follows a revocation: append, barrier and receipt, also after the caller has its answer', async () => {
    const [writ, collector] = await start();
    const order = { selector: { kind: 'jti', issuer: 'i', value: 'v' } };
    const headers = { traceparent: `00-${TRACE}-${PARENT}-01` };
    const { body } = await writ.control('/v1/revocations', { body: order, headers });
    const spans = await spansAfterClose(writ, collector);
    const of = (name: string): OtlpSpan =>
      spans.find((span) => span.traceId === TRACE && span.name === name)!;
    const server = of('POST /v1/revocations');
    expect(attributesOf(server)).toMatchObject({
      'http.route': '/v1/revocations',
      'http.response.status_code': 201,
    });
    expect(of('append').parentSpanId).toBe(server.spanId);
    expect(of('barrier').parentSpanId).toBe(server.spanId);
    expect(of('receipt').parentSpanId).toBe(of('barrier').spanId);
    expect(attributesOf(of('receipt'))).toMatchObject({
      'writ.revocation.id': body['id'],
      'writ.revocation.state': 'enforced',
    });
  });

  it('goes on to whom Writ asks', async () => {
    const asked: IncomingHttpHeaders[] = [];
    const idp = createServer((req, res) => {
      asked.push(req.headers);
      res.writeHead(200, { 'content-type': 'application/json' }).end('{"keys":[]}');
    });
    servers.push(idp);
    await new Promise<void>((resolve) => idp.listen(0, '127.0.0.1', resolve));
    const jwks = `http://127.0.0.1:${(idp.address() as AddressInfo).port}/jwks`;
    const issuer = `{ issuer: "https://idp.example", audiences: [api], jwks: { url: "${jwks}" } }`;
    const [writ, collector] = await start(200, `issuers: [${issuer}]`);
    await expect.poll(() => asked.length).toBeGreaterThan(0);
    const spans = await spansAfterClose(writ, collector);
    const span = spans.find(({ kind }) => kind === CLIENT);
    expect(span).toMatchObject({ name: 'GET jwks' });
    expect(attributesOf(span!)).toEqual({ 'server.address': '127.0.0.1' });
    expect(asked[0]?.['traceparent']).toBe(`00-${span!.traceId}-${span!.spanId}-01`);
  });

  it('says that it failed, and that is all', async () => {
    const [writ, collector] = await start();
    await writ.control('/v1/keys', { token: 'nobody' });
    await writ.data('/nowhere');
    const spans = await spansAfterClose(writ, collector);
    const refused = spans.find(({ name }) => name === 'GET /v1/keys');
    expect(attributesOf(refused!)['http.response.status_code']).toBe(401);
    expect(refused?.status.code ?? 0).toBe(0);
  });

  it('has no token, no session id, no subject and no selector in it', async () => {
    const [writ, collector] = await start();
    const token = await writ.mint({ sub: 'canary-subject' });
    const body = { ...evaluation(token), subject: { type: 'service', id: 'canary-subject' } };
    await writ.data('/access/v1/evaluation', { body });
    await writ.data('/v1/data/canary/path', { body: { input: body } });
    const opened = await writ.data('/v1/sessions', { body: registration(token) });
    const id = String(opened.body['id']);
    await writ.data(`/v1/sessions/${id}/ping`, { method: 'POST' });
    await writ.control('/v1/revocations', {
      body: { selector: { kind: 'token', value: token }, wait: 'durable', reason: 'canary-reason' },
    });
    await writ.control(`/v1/revocations/canary-id?canary=1`);
    await spansAfterClose(writ, collector);
    const text = collector.uploads.map(({ body: sent }) => sent.toString('utf8')).join('\n');
    expect(text).toContain('POST /v1/sessions/:id/ping');
    for (const secret of [...token.split('.'), id, id.slice(4), writ.adminToken, 'canary'])
      expect(text).not.toContain(secret);
  });

  it('is named in the lines of the decision log, and only of what was asked within it', async () => {
    const sink = 'decisionLog: { sink: file, file: decisions.jsonl }';
    const [writ, collector] = await start(200, `telemetry: { ${sink} }`);
    await writ.data('/v1/check', { body: evaluation() });
    await writ.data('/v1/check', { body: evaluation() });
    await writ.close();
    const text = await readFile(join(writ.dataDir, 'decisions.jsonl'), 'utf8');
    const named = text
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, unknown>)
      .map((line) => `${String(line['trace_id'])} ${String(line['span_id'])}`);
    const spans = spansOf(collector).filter(({ name }) => name === 'POST /v1/check');
    expect(new Set(named).size).toBe(2);
    expect(named).toEqual(spans.map(({ traceId, spanId }) => `${traceId} ${spanId}`));
    expect(writ.log).not.toContain('trace_id');
  });
});

describe('a collector of traces', () => {
  it.each<Collector['mood']>(['hang', 'reset', 'endless', 503, 'redirect'])(
    'that is ill (%s) changes and delays no decision, and does not keep Writ from closing',
    async (mood) => {
      const [writ, collector] = await start(mood);
      const token = await writ.mint();
      for (let i = 0; i < 20; i++)
        expect((await writ.data('/access/v1/evaluation', { body: evaluation(token) })).body['decision']).toBe(
          true,
        );
      await collector.asked(1);
      expect((await writ.data('/access/v1/evaluation', { body: evaluation(token) })).body['decision']).toBe(
        true,
      );
      await writ.close();
    },
  );

  it('that takes nothing costs spans, which are counted, and never more memory than its queue', async () => {
    const [writ] = await start('hang');
    const evaluations = Array.from({ length: 1 }, () => ({}));
    for (let i = 0; i < 110; i++)
      await Promise.all(
        Array.from({ length: 20 }, () => writ.data('/v1/check', { body: { ...evaluation(), evaluations } })),
      );
    const metrics = parsePrometheus((await writ.diagnostics('/metrics')).text);
    expect(valueOf(metrics, 'writ_spans_lost_total')).toBeGreaterThan(100);
    expect(valueOf(metrics, 'writ_spans_exported_total')).toBe(0);
  });

  it('is asked for nothing where none is configured: there are no spans at all', async () => {
    const writ = await InProcessWrit.open();
    open.push(writ);
    await writ.data('/v1/check', { body: evaluation() });
    const metrics = parsePrometheus((await writ.diagnostics('/metrics')).text);
    expect(valueOf(metrics, 'writ_spans_exported_total')).toBe(0);
    expect(valueOf(metrics, 'writ_spans_lost_total')).toBe(0);
  });
});
