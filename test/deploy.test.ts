/**
 * The dashboard and the alert rules ask only for metrics and labels that there are: a panel that is always empty, or an
 * alert that can never fire, is worse than none. And what an operator must be woken for has a rule.
 */
import { readFileSync, readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import type { MetricSources } from '../src/edges/telemetry/metric-list.ts';
import { metricsOf } from '../src/edges/telemetry/metric-list.ts';

function read(path: string): string {
  return readFileSync(fileURLToPath(new URL(`../deploy/${path}`, import.meta.url)), 'utf8');
}

interface Panel {
  readonly type: string;
  readonly title: string;
  readonly targets?: readonly { readonly expr: string; readonly legendFormat: string }[];
}

interface Rule {
  readonly alert: string;
  readonly expr: string;
  readonly labels: { readonly severity: string };
  readonly annotations: Readonly<Record<string, string>>;
}

const dashboard = JSON.parse(read('grafana/writ.json')) as {
  readonly panels: readonly Panel[];
  readonly templating: { readonly list: readonly { readonly query: string }[] };
};
const alerts = parse(read('prometheus/alerts.yml')) as {
  readonly groups: readonly { readonly rules: readonly Rule[] }[];
};
const rules = alerts.groups.flatMap((group) => group.rules);

/** What Prometheus adds to every sample it scrapes, and what a histogram's buckets have. */
const SCRAPED = ['job', 'instance', 'le'];

/** Name as an expression may have it -> its labels. */
const known = new Map(
  metricsOf({} as MetricSources).flatMap(({ name, type, labels }) =>
    (type === 'histogram' ? ['_bucket', '_sum', '_count'] : ['']).map((suffix) => [
      `${name}${suffix}`,
      [...labels, ...SCRAPED],
    ]),
  ),
);

const METRIC = /\b(?:writ|process|http)_[a-z0-9_]+\b(?!")/g;

interface Expression {
  readonly where: string;
  readonly expr: string;
  /** Templates of legends and annotations: `{{reason}}`, `{{ $labels.instance }}`. */
  readonly templates: string;
}

const expressions: Expression[] = [
  ...dashboard.panels.flatMap(({ title, targets = [] }) =>
    targets.map(({ expr, legendFormat }) => ({ where: title, expr, templates: legendFormat })),
  ),
  ...rules.map(({ alert, expr, annotations }) => ({
    where: alert,
    expr,
    templates: Object.values(annotations).join(' '),
  })),
];

function metricsIn(expr: string): string[] {
  return (
    expr
      .replaceAll(/\{[^}]*\}/g, '')
      .replaceAll(/\b(by|without) \([^)]*\)/g, '')
      .match(METRIC) ?? []
  );
}

function labelsIn({ expr, templates }: Expression): string[] {
  const matchers = [...expr.matchAll(/[{,]\s*([a-z_]+)\s*(?:=~|!~|!=|=)/g)].map(([, label]) => label ?? '');
  const grouped = [...expr.matchAll(/\b(?:by|without) \(([^)]*)\)/g)].flatMap(([, list = '']) =>
    list.split(',').map((label) => label.trim()),
  );
  const shown = [...templates.matchAll(/\{\{\s*(?:\$labels\.)?([a-z_]+)\s*\}\}/g)].map(
    ([, label]) => label ?? '',
  );
  return [...matchers, ...grouped, ...shown];
}

describe('the dashboard and the alert rules', () => {
  it('ask for metrics that there are, and for labels that those have', () => {
    expect(expressions.length).toBeGreaterThan(40);
    for (const expression of expressions) {
      const names = metricsIn(expression.expr);
      expect(names.length, expression.where).toBeGreaterThan(0);
      for (const name of names) expect([...known.keys()], expression.where).toContain(name);
      const labels = names.flatMap((name) => known.get(name) ?? []);
      for (const label of labelsIn(expression))
        expect(labels, `${expression.where}: ${label}`).toContain(label);
    }
  });

  it('have balanced expressions', () => {
    for (const { expr, where } of expressions)
      for (const [left, right] of ['()', '{}', '[]'])
        expect(expr.split(left!).length, where).toBe(expr.split(right!).length);
  });

  it('show every metric there is', () => {
    const asked = new Set(expressions.flatMap(({ expr }) => metricsIn(expr)));
    const unseen = metricsOf({} as MetricSources)
      .map(({ name }) => name)
      .filter((name) => !['', '_bucket', '_sum', '_count'].some((suffix) => asked.has(name + suffix)));
    expect(unseen).toEqual(UNSEEN);
  });
});

/** What is for people who look closer. */
const UNSEEN = ['writ_spans_exported_total', 'process_start_time_seconds'];

describe('the dashboard', () => {
  it('has its panels apart, each with an id of its own, and asks the data source that was chosen', () => {
    const panels = dashboard.panels as unknown as readonly {
      id: number;
      gridPos: { x: number; y: number; w: number; h: number };
    }[];
    expect(new Set(panels.map(({ id }) => id)).size).toBe(panels.length);
    const cells = panels.flatMap(({ gridPos: { x, y, w, h } }) =>
      Array.from({ length: w * h }, (_, i) => `${x + (i % w)},${y + Math.floor(i / w)}`),
    );
    expect(new Set(cells).size).toBe(cells.length);
  });

  it('finds jobs and replicas by a metric that there is', () => {
    for (const { query } of dashboard.templating.list)
      for (const [name] of query.matchAll(METRIC)) expect([...known.keys()]).toContain(name);
  });
});

describe('deploy/redis', () => {
  /** User -> what stands after its name. */
  const users = new Map(
    read('redis/users.acl')
      .trim()
      .split('\n')
      .map((line) => line.split(' '))
      .map(([, name = '', ...rules]) => [name, rules]),
  );
  const commandsOf = (user: string) =>
    (users.get(user) ?? []).filter((rule) => rule.startsWith('+')).map((rule) => rule.slice(1));

  it('gives a sidecar the commands that the functions use, those of a connection, and no other', () => {
    const lua = readFileSync(
      fileURLToPath(new URL('../src/edges/redis/functions.lua', import.meta.url)),
      'utf8',
    );
    const used = [...lua.matchAll(/redis\.p?call\('([A-Z]+)'/g)].map(([, command = '']) =>
      command.toLowerCase(),
    );
    expect(used.length).toBeGreaterThan(20);
    const connection = [
      'fcall',
      'fcall_ro',
      'subscribe',
      'info',
      'config|get',
      'function|list',
      'client|setname',
      'ping',
    ];
    expect(commandsOf('writ').toSorted()).toEqual([...new Set([...used, ...connection])].toSorted());
  });

  it('starts every user from nothing, and knows no other', () => {
    expect([...users.keys()]).toEqual(['default', 'writ', 'writ-init', 'writ-replica', 'writ-sentinel']);
    expect(users.get('default')).toEqual(['off']);
    for (const [name, rules] of users)
      if (name !== 'default')
        for (const rule of ['resetkeys', 'resetchannels', '-@all']) expect(rules).toContain(rule);
  });

  it('names users and passwords in the configuration as users.acl has them', () => {
    const passwordOf = (user: string) =>
      users
        .get(user)
        ?.find((rule) => rule.startsWith('>'))
        ?.slice(1);
    const failover = read('redis/failover.conf');
    expect(failover).toContain(`masteruser writ-replica\nmasterauth ${passwordOf('writ-replica')}\n`);
    const sentinel = read('redis/sentinel.conf');
    expect(sentinel).toContain(
      `sentinel auth-user writ writ-sentinel\nsentinel auth-pass writ ${passwordOf('writ-sentinel')}\n`,
    );
  });

  it('is referred to by the README, file by file, and only by names that are there', () => {
    const readme = readFileSync(fileURLToPath(new URL('../README.md', import.meta.url)), 'utf8');
    const named = [...readme.matchAll(/\(deploy\/redis\/([^)]+)\)/g)].map(([, file]) => file);
    const files = readdirSync(fileURLToPath(new URL('../deploy/redis', import.meta.url)));
    expect(named.toSorted()).toEqual(files.toSorted());
  });
});

describe('the alert rules', () => {
  it('have a name, a severity and a summary each', () => {
    expect(new Set(rules.map(({ alert }) => alert)).size).toBe(rules.length);
    for (const { alert, labels, annotations } of rules) {
      expect(['page', 'ticket'], alert).toContain(labels.severity);
      expect(annotations['summary'], alert).toBeTypeOf('string');
    }
  });

  it.each([
    'writ_late_accepts_total',
    'writ_ledgers_forked',
    'writ_fenced',
    'writ_store_up',
    'writ_revocation_view_age_seconds',
    'writ_revocation_enforced_seconds_bucket',
    'writ_decision_log_dropped_total',
  ])('speak of %s', (name) => {
    expect(rules.some(({ expr }) => metricsIn(expr).includes(name))).toBe(true);
  });
});
