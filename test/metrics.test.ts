/** docs/metrics.md, the source's list and what a running Writ serves are one list; and each number counts what it says. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { MetricSources } from '../src/edges/telemetry/metric-list.ts';
import { metricsOf } from '../src/edges/telemetry/metric-list.ts';
import { listen } from './support/client.ts';
import { InProcessWrit, evaluation, registration } from './support/in-process.ts';
import type { Family } from './support/prometheus.ts';
import { parsePrometheus, valueOf } from './support/prometheus.ts';

const documented = [
  ...readFileSync(fileURLToPath(new URL('../docs/metrics.md', import.meta.url)), 'utf8').matchAll(
    /^\| `(\w+)` \| (\w+) \| (.+?) \| (.+) \|$/gm,
  ),
].map(([, name, type, labels = '', help]) => ({
  name,
  type,
  labels: [...labels.matchAll(/`(\w+)`/g)].map(([, label]) => label),
  help,
}));

/** Nothing is read until a scrape: the list needs no sources. */
const listed = metricsOf({} as MetricSources).map(({ name, type, labels, help }) => ({
  name,
  type,
  labels: [...labels],
  help,
}));

let writ: InProcessWrit;

beforeAll(async () => {
  writ = await InProcessWrit.open();
});

afterAll(() => writ.remove());

async function scrape(): Promise<ReadonlyMap<string, Family>> {
  const { status, headers, text } = await writ.diagnostics('/metrics');
  expect(status).toBe(200);
  expect(headers['content-type']).toBe('text/plain; version=0.0.4; charset=utf-8');
  return parsePrometheus(text);
}

describe('docs/metrics.md', () => {
  it('lists exactly the metrics there are, with type, labels and meaning', () => {
    expect(documented).toEqual(listed);
  });

  it('has names and labels as Prometheus wants them, each once', () => {
    for (const { name, type, labels } of listed) {
      expect(name).toMatch(/^(writ|process|http)_[a-z0-9_]+$/);
      expect(name.endsWith('_total')).toBe(type === 'counter');
      expect(labels).toEqual(labels.toSorted());
    }
    expect(new Set(listed.map(({ name }) => name)).size).toBe(listed.length);
  });
});

describe('GET /metrics', () => {
  it('serves exactly what is listed, with the labels that are listed', async () => {
    await writ.control('/v1/keys');
    const families = await scrape();
    expect([...families].map(([name, { type, help }]) => ({ name, type, help }))).toEqual(
      listed.map(({ name, type, help }) => ({ name, type, help })),
    );
    for (const { name, labels } of listed) {
      const samples = families.get(name)?.samples ?? [];
      expect(samples.length, name).toBeGreaterThan(0);
      for (const sample of samples)
        expect(
          Object.keys(sample.labels)
            .filter((label) => label !== 'le')
            .toSorted(),
          name,
        ).toEqual(labels);
    }
  });

  it('counts each decision once, at its door, with its reason', async () => {
    const before = await scrape();
    const token = await writ.mint();
    const rego = { input: { ...evaluation(), credential: { scheme: 'Bearer', token } } };
    await writ.data('/access/v1/evaluation', { body: evaluation(token) });
    await writ.data('/access/v1/evaluations', {
      body: { ...evaluation(token), evaluations: [{}, {}, { subject: 7 }] },
    });
    await writ.data('/v1/check', { body: evaluation() });
    await writ.data('/v1/data/writ/authz/decision', { body: rego });
    await writ.data('/v1/data/writ/authz/nothing', { body: rego });
    await writ.data('/v1/data/writ/authz/decision', { body: { input: { credential: 7 } } });
    await writ.data('/v1/sessions', { body: registration(token) });
    await writ.data('/v1/sessions', { body: registration('eyJ.e30.x') });
    await writ.data('/access/v1/evaluation', { body: { subject: 'no' } });
    const after = await scrape();
    const counted = (after.get('writ_decisions_total')?.samples ?? []).flatMap(({ labels, value }) => {
      const more = value - (valueOf(before, 'writ_decisions_total', labels) ?? 0);
      return more === 0 ? [] : [`${labels['source']} ${labels['decision']} ${labels['reason']} ${more}`];
    });
    expect(counted.toSorted()).toEqual(
      [
        'check deny policy_denied 1',
        'data allow permitted 1',
        'data deny invalid_credential 1',
        'data deny policy_undefined 1',
        'evaluation allow permitted 1',
        'evaluations allow permitted 2',
        'session allow permitted 1',
        'session deny invalid_credential 1',
      ].toSorted(),
    );
    const timed = (families: ReadonlyMap<string, Family>) =>
      valueOf(families, 'writ_decision_duration_seconds_count') ?? 0;
    expect(timed(after) - timed(before)).toBe(9);
  });

  it('follows a revocation from its receipt to the proven end of a session', async () => {
    const token = await writ.mint({ claims: { sid: 'metrics' } });
    const before = await scrape();
    const opened = await writ.data('/v1/sessions', { body: registration(token) });
    const path = String(opened.body['events']).replace('/events', '');
    const stream = await listen(`${writ.writ.urls.data}${path}/events`);
    const during = await scrape();
    const increase = (name: string, labels: Record<string, string> = {}) =>
      (valueOf(during, name, labels) ?? NaN) - (valueOf(before, name, labels) ?? NaN);
    expect(increase('writ_sessions_active')).toBe(1);
    const order = { selector: { kind: 'token', value: token }, reason: 'leaked' };
    const answered = writ.control('/v1/revocations', { body: order });
    await stream.killed;
    const ending = await scrape();
    expect(valueOf(ending, 'writ_sessions_ending')).toBe(1);
    expect(valueOf(ending, 'writ_session_kills_total', { reason: 'revoked' })).toBe(1);
    await writ.data(`${path}/closed`, { method: 'POST' });
    expect((await answered).body['state']).toBe('enforced');
    const after = await scrape();
    const since = (name: string) => (valueOf(after, name) ?? NaN) - (valueOf(before, name) ?? NaN);
    expect(valueOf(after, 'writ_sessions_killed_total', { reason: 'revoked', transport: 'events' })).toBe(1);
    expect(valueOf(after, 'writ_sessions_ending')).toBe(0);
    expect(valueOf(after, 'writ_revocations_received_total', { channel: 'admin' })).toBe(1);
    expect(since('writ_revocation_propagation_seconds_count')).toBe(1);
    expect(since('writ_revocation_enforced_seconds_count')).toBe(1);
    expect(since('writ_revocation_list_entries')).toBe(1);
    expect(valueOf(after, 'writ_late_accepts_total')).toBe(0);
  });

  it('shows the lease, the ledger and the policy as the other listeners do', async () => {
    const families = await scrape();
    const { body } = await writ.data('/access/v1/evaluation', { body: evaluation() });
    const { position, policy } = body['context'] as Record<string, string>;
    expect(valueOf(families, 'writ_policy_info', { revision: policy ?? '' })).toBe(1);
    expect(`${valueOf(families, 'writ_ledger_size')}`).toBe(position?.split('-')[1]);
    expect(valueOf(families, 'writ_fenced')).toBe(0);
    expect(valueOf(families, 'writ_store_up')).toBe(1);
    const fresh = valueOf(families, 'writ_lease_fresh_seconds') ?? 0;
    const age = valueOf(families, 'writ_revocation_view_age_seconds') ?? Infinity;
    expect(fresh).toBeGreaterThan(0);
    expect(fresh + age).toBeCloseTo(2.95, 2);
  });
});
